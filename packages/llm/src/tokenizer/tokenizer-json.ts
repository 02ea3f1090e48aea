/**
 * A tokenizer.json as @huggingface/tokenizers takes it: reading one from text, and putting in place of steps that the
 * library does by JavaScript's classes (ASCII digits, JavaScript's white space) the same steps by Unicode's, as the
 * tokenizers that models were trained with do them.
 */
import { llmError } from '../errors.ts';
import { digitsPattern, gpt2Pattern, oneDigitPattern } from './pre-tokenizers.ts';

export interface AddedToken {
  id: number;
  content: string;
  special?: boolean;
  single_word?: boolean;
  lstrip?: boolean;
  rstrip?: boolean;
  normalized?: boolean;
}

/** One step of a pipeline: its type and whatever options that type has. */
export interface Step {
  type: string;
  [option: string]: unknown;
}

export interface TokenizerJson {
  added_tokens: AddedToken[];
  normalizer: Step | null;
  pre_tokenizer: Step | null;
  post_processor: Step | null;
  decoder: Step | null;
  model: Step & { vocab: Record<string, number> };
}

/** Far more than any vocabulary has; tables are made as long as the largest one. */
const MAX_ID = 2 ** 24;
/** Sequences in sequences. */
const MAX_DEPTH = 16;

/** Reads the text of a tokenizer.json; throws `tokenizer-invalid` where it is none. */
export function parseTokenizerJson(text: string): TokenizerJson {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw notTokenizerJson('text that is not JSON', cause);
  }
  if (!isRecord(json)) throw notTokenizerJson('no JSON object');
  const {
    added_tokens = [],
    normalizer = null,
    pre_tokenizer = null,
    post_processor = null,
    decoder = null,
    model,
  } = json;
  if (!isRecord(model) || !isRecord(model.vocab)) throw notTokenizerJson('no vocabulary in "model"');
  if (!Object.values(model.vocab).every(isId)) {
    throw notTokenizerJson(`a token whose id is no whole number up to ${MAX_ID}`);
  }
  if (!Array.isArray(added_tokens) || !added_tokens.every(isAddedToken)) throw notTokenizerJson('bad "added_tokens"');
  for (const step of [normalizer, pre_tokenizer, post_processor, decoder]) {
    if (step !== null && !isStep(step)) throw notTokenizerJson('a step without a type, or a sequence that is none');
  }
  return {
    added_tokens,
    normalizer,
    pre_tokenizer: unicodeStep(pre_tokenizer as Step | null),
    post_processor,
    decoder,
    model,
  } as TokenizerJson;
}

/** The steps of a sequence, nested ones included, or the step itself. */
export function flatSteps(step: Step | null): Step[] {
  if (step === null) return [];
  if (step.type !== 'Sequence') return [step];
  return innerSteps(step).flatMap(flatSteps);
}

const innerSteps = (step: Step): Step[] =>
  (step.pretokenizers ?? step.decoders ?? step.normalizers ?? step.processors ?? []) as Step[];

/** A step that makes every match of `pattern`, and what lies between matches, a piece of its own. */
export function splitStep(pattern: string): Step {
  return { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false };
}

export function sequence(steps: Step[]): Step {
  return { type: 'Sequence', pretokenizers: steps };
}

/** Bytes to characters, without the pattern of GPT-2. */
export const byteLevelStep: Step = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };

function unicodeStep(step: Step | null): Step | null {
  if (step === null) return null;
  const steps = flatSteps(step).flatMap((each) => {
    if (each.type === 'Digits') return [splitStep(each.individual_digits ? oneDigitPattern : digitsPattern)];
    const byRegex = each.type === 'ByteLevel' && each.use_regex !== false && !each.add_prefix_space;
    return byRegex ? [splitStep(gpt2Pattern), { ...each, use_regex: false }] : [each];
  });
  return sequence(steps);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= MAX_ID;
}

/** Whether it is a step, and where that is a sequence, so is all that is in it. */
function isStep(value: unknown, depth = 0): value is Step {
  if (!isRecord(value) || typeof value.type !== 'string' || depth > MAX_DEPTH) return false;
  if (value.type !== 'Sequence') return true;
  const inner: unknown = innerSteps(value as Step);
  return Array.isArray(inner) && inner.every((each) => isStep(each, depth + 1));
}

function isAddedToken(value: unknown): value is AddedToken {
  return isRecord(value) && isId(value.id) && typeof value.content === 'string' && value.content !== '';
}

function notTokenizerJson(found: string, cause?: unknown) {
  return llmError({
    code: 'tokenizer-invalid',
    problem: 'The tokenizer.json cannot be read.',
    found,
    remedy: "Fetch the model's tokenizer.json again, or leave it out: the GGUF file has a tokenizer of its own.",
    cause,
  });
}
