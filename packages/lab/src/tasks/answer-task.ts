/** Answers of policies to a question: the prompt is read once, and every policy continues from the same cache. */
import type { Model, Session } from '@keysieve/llm';
import { type AttentionReport, addReport, type CertificateKind, emptyReport, type PolicySpec } from 'keysieve';
import { readContext } from '../eval/reading.ts';
import { createRandom } from '../numerics/random.ts';
import { argmax } from '../numerics/softmax.ts';
import type { Filler } from './filler.ts';
import { fitPrompt, type Question, scoreOf, type Task } from './index.ts';

/** A question of a task. */
export interface TaskItem {
  task: string;
  /** Tokens of the prompt, including the beginning of the answer. */
  length: number;
  /** Where the fact stands, in tokens: 0 at the beginning, 1 just before the question; null where the task does not place it. */
  depth: number | null;
  /** Index among the questions of this task, length and depth. */
  repetition: number;
}

/** The answer of a policy. */
export interface TaskAnswer extends TaskItem {
  policy: string;
  budget: string | null;
  /** The policy that read the prompt. */
  prefill: { policy: string; budget: string | null };
  /** Share of the references that the answer names, and whether it names all. */
  score: number;
  right: boolean;
  answer: string;
  references: readonly string[];
  /** Keys that a head read exactly for a token: mean number, and share of those there were. */
  keysExact: { mean: number; share: number };
  /** Means as the policy reports them, bounds or estimates as `kind` says; null where nothing is known. */
  tailMass: number;
  outputError: number | null;
  kind: CertificateKind;
}

/** An answer, and what it took. */
export interface TimedAnswer extends TaskAnswer {
  msPerToken: number;
}

/** How prompts are made. */
export interface TaskSettings {
  filler: Filler;
  seed: number;
  distractors: number;
  /** Whether questions are put into the model's chat template. */
  chat: boolean;
}

/** A prompt, and what its answer must name. */
export interface TaskPrompt {
  text: string;
  tokens: Int32Array;
  references: readonly string[];
  answerTokens: number;
}

/** The prompt of a question, of exactly its length; equal for equal seeds. Throws `invalid-argument` where none fits. */
export function makePrompt(task: Task, item: TaskItem, settings: TaskSettings, model: PromptModel): TaskPrompt {
  const { length, depth, repetition } = item;
  const { filler, distractors, chat } = settings;
  const random = createRandom(hashSeed(settings.seed, task.name, length, Math.round((depth ?? 0) * 1000), repetition));
  const question = task.draw({ random, depth: depth ?? 0, filler, length, distractors });
  const asPrompt = (text: string) =>
    chat ? model.renderChat([{ role: 'user', content: text }]) + question.begin : `${text}\n${question.begin}`;
  const encode = (text: string) =>
    chat
      ? model.encode([{ role: 'user', content: text }], { answerPrefix: question.begin })
      : model.encode(asPrompt(text));
  const { text, tokens } = fitPrompt(question, length, encode);
  return { text: asPrompt(text), tokens, references: question.references, answerTokens: answerTokens(question, model) };
}

type PromptModel = Pick<Model, 'encode' | 'renderChat'>;

/** Twice the tokens of the references, for what stands between them, and a few words. */
function answerTokens({ references, answerTokens: fixedTokens }: Question, model: PromptModel): number {
  return fixedTokens ?? 2 * model.encode(references.join(', ')).length + 8;
}

/** A hash of the parts (FNV-1a). */
function hashSeed(...parts: readonly (string | number)[]): number {
  let hash = 0x811c9dc5;
  for (const character of parts.join(' ')) hash = Math.imul(hash ^ (character.codePointAt(0) as number), 0x01000193);
  return hash >>> 0;
}

/** Who answers, and how the prompt is read. */
export interface AnswerContext {
  model: Pick<Model, 'tokenizer'>;
  session: Session;
  /** How the prompt is read. */
  prefill: PolicySpec;
  /** Policies that answer. */
  policies: readonly PolicySpec[];
  signal: AbortSignal;
  onRead?(done: number, total: number): void;
}

/** Reads a prompt except for its last token, with which every answer begins. */
export async function readPrompt(answering: AnswerContext, { tokens }: TaskPrompt): Promise<void> {
  await readContext({ ...answering, attention: answering.prefill }, tokens.subarray(0, -1));
}

/** The answer of a policy to the prompt in the cache, which stays there. */
export async function answerTask(
  answering: AnswerContext,
  item: TaskItem,
  prompt: TaskPrompt,
  attention: PolicySpec,
): Promise<TimedAnswer> {
  const { prefill } = answering;
  const { text, report, msPerToken } = await decode(answering, prompt, attention);
  const score = scoreOf(text, prompt.references);
  const error = report.outputError.sum / report.rows;
  return {
    ...item,
    policy: attention.policy,
    budget: attention.budget ?? null,
    prefill: { policy: prefill.policy, budget: prefill.budget ?? null },
    score,
    right: score === 1,
    answer: text,
    references: prompt.references,
    keysExact: { mean: report.keysExact / report.rows, share: report.keysExact / report.keys },
    tailMass: report.tailMass.sum / report.rows,
    outputError: Number.isFinite(error) ? error : null,
    kind: report.certificate,
    msPerToken,
  };
}

/** Decodes greedily after the prompt, up to the end of the answer. */
async function decode(
  { model, session, signal }: AnswerContext,
  { tokens, answerTokens }: TaskPrompt,
  attention: PolicySpec,
): Promise<{ text: string; report: AttentionReport; msPerToken: number }> {
  const { tokenizer } = model;
  const report = emptyReport();
  const written: number[] = [];
  let next = tokens.at(-1) as number;
  let passes = 0;
  await using fork = session.fork();
  const started = performance.now();
  while (written.length < answerTokens) {
    for await (const step of fork.evaluate(Int32Array.of(next), { attention, signal })) {
      addReport(report, step.attention);
      next = argmax(step.logits);
    }
    passes++;
    if (tokenizer.endOfGeneration.has(next)) break;
    written.push(next);
  }
  const msPerToken = (performance.now() - started) / passes;
  return { text: tokenizer.decode(written), report, msPerToken };
}
