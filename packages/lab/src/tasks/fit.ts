/** Prompts with an exact number of tokens. */
import { labError } from '../errors.ts';
import type { Question } from './task.ts';

/** Text whose end fills the last tokens, as if the prompt began in the middle of something. */
const PADDING =
  'Some pages are missing here, nobody knows how many; the rest was copied by hand, by whoever had the time, and it ' +
  'begins where the first whole page begins. ';
/** Units that are removed again, one by one, where no padding makes the length exact. */
const MAX_STEPS_BACK = 8;

/**
 * The prompt of a question that has `length` tokens, as `encode` counts them. Throws `invalid-argument` where the
 * question alone has more.
 */
export function fitPrompt<Tokens extends ArrayLike<number>>(
  { compose }: Pick<Question, 'compose'>,
  length: number,
  encode: (prompt: string) => Tokens,
): { text: string; tokens: Tokens } {
  const tryUnits = (units: number, padding = '') => {
    const text = compose(units, padding);
    return { text, tokens: encode(text) };
  };
  const minTokens = tryUnits(0).tokens.length;
  if (minTokens > length) {
    throw labError({
      code: 'invalid-argument',
      problem: 'The prompt of a task does not fit into its length.',
      found: `${minTokens} tokens without any context, of ${length}`,
      remedy: 'Ask for longer prompts.',
    });
  }
  // Most units that fit: the rule of three, within bounds that close in.
  let [low, high] = [0, Number.POSITIVE_INFINITY];
  let units = length - minTokens;
  while (high - low > 1) {
    const candidate = tryUnits(units);
    const count = candidate.tokens.length;
    if (count === length) return candidate;
    if (count < length) low = Math.max(low, units);
    else high = Math.min(high, units);
    const perUnit = Math.max(1e-3, (count - minTokens) / units);
    const guess = units + Math.trunc((length - count) / perUnit);
    units = Math.min(Math.max(guess, low + 1), Number.isFinite(high) ? Math.max(low + 1, high - 1) : Infinity);
  }
  for (let removedUnits = 0; removedUnits <= Math.min(low, MAX_STEPS_BACK); removedUnits++) {
    for (let characters = 0; characters <= PADDING.length; characters++) {
      const candidate = tryUnits(low - removedUnits, PADDING.slice(PADDING.length - characters));
      if (candidate.tokens.length === length) return candidate;
      // A character may take a token or two more, and a later one give them back.
      if (candidate.tokens.length > length + 3) break;
    }
  }
  throw labError({
    code: 'invalid-argument',
    problem: 'The tokenizer of the model allows no prompt of this length.',
    found: length,
    remedy: 'Ask for a length of one more or less.',
  });
}
