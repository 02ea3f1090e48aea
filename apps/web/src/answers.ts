/** Questions and their answers, with how exact each is and where it has looked. */
import type { WorkerModel, WorkerSession } from '@keysieve/llm/browser';
import { signal } from '@preact/signals';
import { promptOf } from './document.ts';
import { model, problem } from './models.ts';

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

export const policy = signal<PolicyKey>('sieve');
export const answers = signal<readonly Answer[]>([]);
export const busy = signal(false);

const PASSAGES = 120;
/** Positions at the beginning and the end that every head looks at, whatever is there. */
const SINKS = 4;
const RECENT = 128;

/** The session of the last question: another one for another model or another policy. */
let last: { model: WorkerModel; policy: PolicyKey; session: WorkerSession } | undefined;
let abort: AbortController | undefined;

async function sessionFor(loaded: WorkerModel, key: PolicyKey): Promise<WorkerSession> {
  if (last?.model === loaded && last.policy === key) return last.session;
  // The sessions of a model that was disposed of are gone with it.
  if (last?.model === loaded) await last.session.dispose();
  const session = await loaded.createSession({ attention: POLICIES[key].attention, denseFallback: false });
  last = { model: loaded, policy: key, session };
  return session;
}

export async function ask(question: string): Promise<void> {
  const loaded = model.value as WorkerModel;
  const chosenPolicy = policy.value;
  const index = answers.value.length;
  answers.value = [...answers.value, { question, policy: chosenPolicy, text: '', reading: 0 }];
  const update = (change: Partial<Answer>) => {
    answers.value = answers.value.map((answer, i) => (i === index ? { ...answer, ...change } : answer));
  };
  busy.value = true;
  abort = new AbortController();
  try {
    const current = await sessionFor(loaded, chosenPolicy);
    const started = performance.now();
    let text = '';
    const generation = current.generate(promptOf(question), {
      maxTokens: loaded.hasChatTemplate ? 200 : 12,
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
    if (result.finishReason !== 'aborted') update(await stripOf(loaded, current, question));
  } catch (error) {
    problem.value = error instanceof Error ? error.message : String(error);
    update({ reading: undefined, aborted: true });
  } finally {
    busy.value = false;
  }
}

export const stop = (): void => abort?.abort();

/** Passages of equally many tokens, with how much the answer has looked at each. */
async function stripOf(
  loaded: WorkerModel,
  session: WorkerSession,
  question: string,
): Promise<Pick<Answer, 'strip' | 'passages'>> {
  const tokens = await loaded.encode(promptOf(question));
  const weights = await session.attentionMap();
  const texts = await loaded.tokenTexts(tokens);
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
