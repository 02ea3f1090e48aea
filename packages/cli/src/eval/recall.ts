/**
 * Recall: a fact is stated somewhere in a long text, among others of its kind, and asked for at the end ("The number of
 * amber fox is"). Everything follows from a seed. Each prompt is read once; every policy then answers from the same
 * cache.
 */
import type { Model, Session } from '@keysieve/llm';
import { type AttentionReport, addReport, emptyReport, type PolicySpec } from 'keysieve';
import { indexOfLargest } from './divergence.ts';

export interface RecallTask {
  /** Tokens of the prompt. */
  length: number;
  /** Where the fact stands: 0 at the beginning, 1 just before the question. */
  depth: number;
  /** Facts that are stated and not asked for. */
  others: number;
  seed: number;
}

export interface RecallPrompt {
  text: string;
  tokens: Int32Array;
  /** The digits that are asked for. */
  code: string;
}

export interface RecallAnswer extends RecallTask {
  policy: string;
  budget: string | null;
  right: boolean;
  answer: string;
  code: string;
  keysRead: { mean: number; share: number };
  tailMass: number;
  outputError: number | null;
  msPerToken: number;
}

const COLOURS = [
  'amber',
  'azure',
  'black',
  'bronze',
  'copper',
  'coral',
  'green',
  'grey',
  'ivory',
  'jade',
  'olive',
  'pink',
];
const ANIMALS = [
  'badger',
  'camel',
  'crane',
  'eagle',
  'fox',
  'goose',
  'heron',
  'horse',
  'lynx',
  'otter',
  'raven',
  'wolf',
];

/** Most facts that are not asked for: no word is used twice. */
export const MOST_OTHERS = COLOURS.length - 1;
const CODE_DIGITS = 5;
/** Tokens of an answer: a model may write a digit with each, or a blank before them. */
const ANSWER_TOKENS = 8;

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

const statement = (name: string, code: string) => `The number of ${name} is ${code}. `;

/**
 * The prompt of a task: as many tokens as fit into its length, to one or two. `filler` is repeated as often as need be.
 */
export function makePrompt(
  { length, depth, others: otherFacts, seed }: RecallTask,
  filler: string,
  encode: (text: string) => ArrayLike<number>,
): RecallPrompt {
  const random = createRandom(seed * 7919 + Math.round(depth * 1000) * 31 + length);
  // No word twice: the facts are told apart by either of their words.
  const [colours, animals] = [shuffled(COLOURS, random), shuffled(ANIMALS, random)];
  const facts = Array.from({ length: 1 + otherFacts }, (_, i) => ({
    name: `${colours[i]} ${animals[i]}`,
    code: Array.from({ length: CODE_DIGITS }, () => Math.floor(random() * 10)).join(''),
  }));
  const [asked, ...others] = facts as [(typeof facts)[0]];
  const places = [depth, ...others.map(() => random())];
  const offset = Math.floor(random() * filler.length);

  const compose = (characters: number): string => {
    let text = '';
    while (text.length < characters + offset) text += `${filler}\n`;
    const words = text.slice(offset, offset + characters);
    const inserted = facts
      .map(({ name, code }, i) => ({
        at: boundaryAt(words, (places[i] as number) * characters),
        said: statement(name, code),
      }))
      .sort((a, b) => b.at - a.at);
    let whole = words;
    for (const { at, said } of inserted) whole = whole.slice(0, at) + said + whole.slice(at);
    return `${whole}\nThe number of ${asked.name} is `;
  };

  let characters = length;
  let text = compose(characters);
  let tokens = encode(text);
  // As many characters as the tokens are long; a few steps of the rule of three.
  for (let step = 0; step < 12 && (tokens.length > length || tokens.length < length - 2); step++) {
    const change = Math.trunc((length - tokens.length) * (text.length / tokens.length));
    characters = Math.max(1, characters + (change === 0 ? Math.sign(length - tokens.length) : change));
    text = compose(characters);
    tokens = encode(text);
  }
  while (tokens.length > length && characters > 1) {
    characters--;
    text = compose(characters);
    tokens = encode(text);
  }
  return { text, tokens: Int32Array.from(tokens), code: asked.code };
}

/** The list in another order (Fisher and Yates). */
function shuffled<T>(list: readonly T[], random: () => number): T[] {
  const items = [...list];
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [items[i], items[j]] = [items[j] as T, items[i] as T];
  }
  return items;
}

/** The next place from `at` on where a word begins. */
function boundaryAt(text: string, at: number): number {
  const place = Math.floor(at);
  if (place <= 0) return 0;
  const blank = text.indexOf(' ', place - 1);
  return blank === -1 ? text.length : blank + 1;
}

export interface RecallOptions {
  model: Model;
  session: Session;
  policies: readonly PolicySpec[];
  filler: string;
  /** How prompts are read. */
  prefill: PolicySpec;
  signal: AbortSignal;
  onRead?(done: number, total: number): void;
}

const READ_TOKENS = 512;

/** Answers one task by every policy. */
export async function answerRecall(options: RecallOptions, task: RecallTask): Promise<RecallAnswer[]> {
  const { model, session, policies, filler, prefill, signal, onRead } = options;
  const prompt = makePrompt(task, filler, (text) => model.tokenizer.encode(text));
  const context = prompt.tokens.length - 1;
  session.truncate(0);
  const reading = { attention: prefill, chunkTokens: READ_TOKENS, sharing: true, logits: false, signal };
  for await (const { position } of session.evaluate(prompt.tokens.subarray(0, context), reading)) {
    onRead?.(Math.min(context, position + READ_TOKENS), context);
  }
  const answers: RecallAnswer[] = [];
  for (const spec of policies) {
    const { text, report, milliseconds } = await answer(options, prompt, spec);
    session.truncate(context);
    const error = report.outputError.sum / report.rows;
    answers.push({
      ...task,
      policy: spec.policy,
      budget: spec.budget ?? null,
      right: text.trim().startsWith(prompt.code),
      answer: text,
      code: prompt.code,
      keysRead: { mean: report.keysRead / report.rows, share: report.keysRead / report.keys },
      tailMass: report.tailMass.sum / report.rows,
      outputError: Number.isFinite(error) ? error : null,
      msPerToken: milliseconds / ANSWER_TOKENS,
    });
  }
  return answers;
}

/** The likeliest tokens behind the prompt, whose last token is not in the cache yet. */
async function answer({ model, session, signal }: RecallOptions, { tokens }: RecallPrompt, attention: PolicySpec) {
  const report: AttentionReport = emptyReport();
  const written: number[] = [];
  let next = tokens[tokens.length - 1] as number;
  const started = performance.now();
  while (written.length < ANSWER_TOKENS) {
    for await (const step of session.evaluate(Int32Array.of(next), { attention, signal })) {
      addReport(report, step.attention);
      next = indexOfLargest(step.logits);
    }
    written.push(next);
  }
  return { text: model.tokenizer.decode(written), report, milliseconds: performance.now() - started };
}
