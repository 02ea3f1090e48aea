/** What the page knows, and what it does: the views only show it. */
import { createWorkerModel, type LoadProgress, type WorkerModel, type WorkerSession } from '@keysieve/llm/browser';
import { effect, signal } from '@preact/signals';
import nanoUrl from '../../../models/nano/nano.gguf?url';

export const POLICIES = {
  sieve: {
    label: 'Sieve',
    attention: { policy: 'sieve' },
    meaning: 'reads the keys that matter, and samples the rest',
  },
  dense: { label: 'Everything', attention: { policy: 'dense' }, meaning: 'reads every key for every word' },
  window: {
    label: 'Window',
    attention: { policy: 'window', budget: 'fixed:1024' },
    meaning: 'reads the last 1,024 keys',
  },
} as const;
export type PolicyKey = keyof typeof POLICIES;

export interface Answer {
  question: string;
  policy: PolicyKey;
  text: string;
  /** Share of the prompt that is read, while it is. */
  reading: number | undefined;
  tokensPerSecond?: number;
  msPerToken?: number;
  keysExact?: number;
  leftOut?: number | null;
  error?: number | null;
  certificate?: string;
  promptTokens?: number;
  /** Weights of the passages, from 0 to 1; the largest is 1. */
  strip?: readonly number[];
  passages?: readonly string[];
  aborted?: boolean;
}

export const model = signal<WorkerModel | undefined>(undefined);
export const loading = signal<LoadProgress | undefined>(undefined);
export const problem = signal('');
export const documentText = signal(localStorage.getItem('document') ?? '');
export const documentTokens = signal<number | undefined>(undefined);
export const policy = signal<PolicyKey>('sieve');
export const answers = signal<readonly Answer[]>([]);
export const busy = signal(false);

effect(() => {
  // A document that is too large for the browser to keep is not kept.
  try {
    localStorage.setItem('document', documentText.value);
  } catch {}
});

/** Tokens that nano and small models are stretched to. */
const CONTEXT = 32_768;
const PASSAGES = 120;
/** Positions at the beginning and the end that every head looks at, whatever is there. */
const SINKS = 4;
const RECENT = 128;

let session: { policy: PolicyKey; session: WorkerSession } | undefined;
let abort: AbortController | undefined;

/** Loads a file, or the model that comes with the page. */
export async function load(source: File | 'nano'): Promise<void> {
  problem.value = '';
  await model.value?.dispose();
  model.value = undefined;
  session = undefined;
  loading.value = { phase: 'load', done: 0, total: 1, overall: 0 };
  try {
    const worker = new Worker(new URL('./engine.ts', import.meta.url), { type: 'module' });
    const file = source === 'nano' ? new File([await (await fetch(nanoUrl)).blob()], 'nano.gguf') : source;
    const onProgress = (progress: LoadProgress) => {
      if (loading.value !== undefined) loading.value = progress;
    };
    model.value = await createWorkerModel(worker, file, { context: CONTEXT, threads: 1, onProgress });
    await countTokens();
  } catch (error) {
    problem.value = error instanceof Error ? error.message : String(error);
  } finally {
    loading.value = undefined;
  }
}

export async function setDocument(text: string): Promise<void> {
  documentText.value = text;
  await countTokens();
}

async function countTokens(): Promise<void> {
  documentTokens.value =
    model.value === undefined || documentText.value === '' ? undefined : (await promptTokens('')).length;
}

const promptTokens = (question: string) => (model.value as WorkerModel).encode(promptOf(question));

/** What the model reads: a chat where it knows one, else the document with the question behind it. */
function promptOf(question: string) {
  const text = `${documentText.value}\n\n${question}`;
  return model.value?.hasChatTemplate ? [{ role: 'user', content: text }] : text;
}

async function sessionFor(key: PolicyKey): Promise<WorkerSession> {
  if (session?.policy === key) return session.session;
  await session?.session.dispose();
  const created = await (model.value as WorkerModel).createSession({
    attention: POLICIES[key].attention,
    denseFallback: false,
  });
  session = { policy: key, session: created };
  return created;
}

export async function ask(question: string): Promise<void> {
  const chosenPolicy = policy.value;
  const index = answers.value.length;
  answers.value = [...answers.value, { question, policy: chosenPolicy, text: '', reading: 0 }];
  const update = (change: Partial<Answer>) => {
    answers.value = answers.value.map((answer, i) => (i === index ? { ...answer, ...change } : answer));
  };
  busy.value = true;
  abort = new AbortController();
  try {
    const current = await sessionFor(chosenPolicy);
    const started = performance.now();
    let text = '';
    const generation = current.generate(promptOf(question), {
      maxTokens: model.value?.hasChatTemplate ? 200 : 12,
      signal: abort.signal,
      onPrefill: ({ done, total, reused }) => {
        const seconds = (performance.now() - started) / 1000;
        update({ reading: done === total ? undefined : done / total, tokensPerSecond: (done - reused) / seconds });
      },
    });
    for await (const chunk of generation) {
      text += chunk.text;
      update({ text, reading: undefined });
    }
    const result = await generation.result;
    const { answer, decodeMs } = result;
    update({
      text: result.text,
      reading: undefined,
      aborted: result.finishReason === 'aborted',
      promptTokens: result.promptTokens,
      ...(answer.attention && {
        keysExact: answer.attention.keysExact.share,
        leftOut: answer.attention.tailMass.mean,
        error: answer.attention.outputError.mean,
        certificate: answer.attention.kind,
      }),
      ...(decodeMs.length > 0 && { msPerToken: decodeMs.reduce((a, b) => a + b, 0) / decodeMs.length }),
    });
    if (result.finishReason !== 'aborted') update(await stripOf(current, question));
  } catch (error) {
    problem.value = error instanceof Error ? error.message : String(error);
    update({ reading: undefined, aborted: true });
  } finally {
    busy.value = false;
  }
}

export const stop = (): void => abort?.abort();

/** Passages of equally many tokens, with how much the answer has looked at each. */
async function stripOf(current: WorkerSession, question: string): Promise<Pick<Answer, 'strip' | 'passages'>> {
  const tokens = await promptTokens(question);
  const weights = await current.attentionMap();
  const texts = await (model.value as WorkerModel).tokenTexts(tokens);
  const size = Math.max(1, Math.ceil(tokens.length / PASSAGES));
  const count = Math.ceil(tokens.length / size);
  const passages = Array.from({ length: count }, (_, i) => texts.slice(i * size, (i + 1) * size).join(''));
  const largest = passages.map((_, i) => {
    const [from, to] = [Math.max(SINKS, i * size), Math.min(tokens.length - RECENT, (i + 1) * size)];
    return from < to ? Math.max(...weights.subarray(from, to)) : 0;
  });
  const max = Math.max(...largest, Number.MIN_VALUE);
  return { passages, strip: largest.map((weight) => weight / max) };
}

/** A document for those who have none at hand: a number is hidden in it. */
export function sampleDocument(): string {
  const line = 'The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. ';
  return `${line.repeat(45)}The number of amber fox is 48213. ${line.repeat(45)}`;
}
