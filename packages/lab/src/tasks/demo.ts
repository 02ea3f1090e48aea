/** The point of it all in one question: a fact in a long text, asked for by full, sieve and window attention. */
import type { Model } from '@keysieve/llm';
import { type PolicySpec, policyEncodings } from 'keysieve';
import { type WorkOptions, workOf } from '../work.ts';
import { answerTask, makePrompt, readPrompt, type TimedAnswer } from './answer-task.ts';
import { defaultFiller } from './default-filler.ts';
import { createFiller } from './filler.ts';
import recall from './recall.ts';

/** How long the text is, and which facts it hides. */
export interface DemoOptions extends WorkOptions {
  model: Model;
  /** Tokens of the text. */
  tokens: number;
  /** Another seed hides other facts. */
  seed: number;
}

/** The answers of the three policies. */
export interface DemoResult {
  tokens: number;
  /** Where the fact stands, in tokens: 0 at the beginning, 1 at the end. */
  depth: number;
  /** Milliseconds of reading the text. */
  readMs: number;
  answers: TimedAnswer[];
}

const POLICIES: readonly PolicySpec[] = [
  { policy: 'dense' },
  { policy: 'sieve', budget: 'fixed:256' },
  { policy: 'window', budget: 'fixed:1024' },
];
/** How the text is read: by blocks that share a sample, which is faster the longer it is. */
const PREFILL: PolicySpec = { policy: 'sieve', budget: 'fixed:256' };
/** Far from the question. */
const DEPTH = 0.2;
/** Facts of the same form that are stated too, and not asked for. */
const DISTRACTORS = 3;

/** Hides the facts, reads the text once and asks each policy. Throws what sessions throw. */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const { model, tokens, seed } = options;
  const { signal, onProgress } = workOf(options);
  const encodings = [...POLICIES, PREFILL].flatMap(policyEncodings);
  await using session = await model.createSession({ attention: { policy: 'dense' }, encodings, denseFallback: false });
  const item = { task: recall.name, length: tokens, depth: DEPTH, repetition: 0 };
  const settings = {
    filler: createFiller(await defaultFiller(), (text) => model.tokenizer.encode(text, { special: false }).length),
    seed,
    distractors: DISTRACTORS,
    chat: false,
  };
  const prompt = makePrompt(recall, item, settings, model);
  const started = performance.now();
  let readMs = 0;
  const onRead = (done: number, total: number) => {
    onProgress('reading', done, total);
    readMs = performance.now() - started;
  };
  const answering = { model, session, prefill: PREFILL, policies: POLICIES, signal, onRead };
  await readPrompt(answering, prompt);
  const answers: TimedAnswer[] = [];
  for (const spec of POLICIES) answers.push(await answerTask(answering, item, prompt, spec));
  return { tokens, depth: DEPTH, readMs, answers };
}
