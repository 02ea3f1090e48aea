/** Prompts of exactly as many tokens as were asked for. */
import { KeysieveError } from 'keysieve';
import type { Question } from './task.ts';

/** Text that fills the last tokens, from its end on: as if the prompt began in the middle of something. */
const PADDING =
  'Some pages are missing here, nobody knows how many; the rest was copied by hand, by whoever had the time, and it ' +
  'begins where the first whole page begins. ';
/** Units that are taken away again where no padding makes the length exact. */
const MOST_STEPS_BACK = 8;

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
  const least = tryUnits(0).tokens.length;
  if (least > length) {
    throw new KeysieveError({
      code: 'invalid-argument',
      problem: 'The prompt of a task does not fit into its length.',
      found: `${least} tokens without any context, of ${length}`,
      remedy: 'Ask for longer prompts, with --lengths.',
    });
  }
  // Most units that fit: the rule of three, within bounds that close in.
  let [low, high] = [0, Number.POSITIVE_INFINITY];
  let units = length - least;
  while (high - low > 1) {
    const found = tryUnits(units);
    const count = found.tokens.length;
    if (count === length) return found;
    if (count < length) low = Math.max(low, units);
    else high = Math.min(high, units);
    const perUnit = Math.max(1e-3, (count - least) / units);
    const guess = units + Math.trunc((length - count) / perUnit);
    units = Math.min(Math.max(guess, low + 1), Number.isFinite(high) ? Math.max(low + 1, high - 1) : Infinity);
  }
  for (let back = 0; back <= Math.min(low, MOST_STEPS_BACK); back++) {
    for (let characters = 0; characters <= PADDING.length; characters++) {
      const found = tryUnits(low - back, PADDING.slice(PADDING.length - characters));
      if (found.tokens.length === length) return found;
      // A character may take a token or two more, and a later one give them back.
      if (found.tokens.length > length + 3) break;
    }
  }
  throw new KeysieveError({
    code: 'invalid-argument',
    problem: 'The tokenizer of the model allows no prompt of this length.',
    found: length,
    remedy: 'Ask for a length of one more or less.',
  });
}
