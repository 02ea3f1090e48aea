/**
 * What sessions that decode together gain over one alone, and how long a prompt that is read meanwhile keeps them waiting.
 * The sessions have one context, in a cache that they share, as users with one document would.
 */
import type { Model, Session } from '@keysieve/llm';
import type { PolicySpec } from 'keysieve';
import { type Spread, spreadOf } from '../numerics/spread.ts';
import { quantile } from '../numerics/statistics.ts';
import { type Work, type WorkOptions, workOf } from '../work.ts';

export interface BenchSessionsOptions extends WorkOptions {
  model: Model;
  /** The context, and behind it the prompt that is read meanwhile. */
  tokens: Int32Array;
  /** Tokens of the context. */
  context: number;
  /** Tokens of the prompt. */
  prompt: number;
  /** Sessions that decode together. */
  sessions: number;
  /** Tokens that each of them decodes in a round. */
  steps: number;
  /** Rounds: one session and all of them take turns. */
  rounds: number;
  attention: PolicySpec;
}

export interface SessionsResult {
  context: number;
  sessions: number;
  /** Tokens a second, of one session and of all of them together. */
  alone: Spread;
  together: Spread;
  /** Their ratio, round by round. */
  ratio: Spread;
  meanwhile: {
    /** Tokens of the prompt, and chunks in which it was read. */
    prompt: number;
    chunks: number;
    /** Most chunks that were read between two tokens of one session. */
    chunksBetweenTokens: number;
    /** Milliseconds of a chunk, from the end of the one before on, so that a pass of those who decode is part of it. */
    chunkMs: Spread;
    /** Longest time between two tokens of one session while the prompt was read, in milliseconds and in chunks. */
    longestGapMs: number;
    longestGapChunks: number;
  };
}

/** A token or the end of a chunk, and when it came. */
interface Event {
  /** Number of the session; -1 for a chunk of the prompt. */
  session: number;
  at: number;
}

/** Runs the rounds, then reads the prompt while the sessions decode. */
export async function benchSessions(benchOptions: BenchSessionsOptions): Promise<SessionsResult> {
  const options = { ...benchOptions, ...workOf(benchOptions) };
  const { model, tokens, context, prompt, sessions: count, rounds, attention, onProgress, signal } = options;
  const contextTokens = tokens.subarray(0, context);
  const first = await model.createSession({ attention });
  const sessions = [first];
  try {
    await first.generate(contextTokens, {
      maxTokens: 1,
      signal,
      onPrefill: ({ done, total }) => onProgress('reading', done, total),
    }).result;
    while (sessions.length < count) sessions.push(first.fork());
    const decode = (decoding: readonly Session[]) => decodeTogether(options, decoding, contextTokens);
    // Compiled code, and the page that each session copies before it writes into it.
    await decode(sessions);
    const [alone, together]: [number[], number[]] = [[], []];
    for (let round = 0; round < rounds; round++) {
      onProgress('decoding', round, rounds);
      alone.push(await decode(sessions.slice(0, 1)));
      together.push(await decode(sessions));
    }
    onProgress('decoding', rounds, rounds);
    const meanwhile = await readMeanwhile(options, sessions, contextTokens, tokens.subarray(context, context + prompt));
    const ratio = spreadOf(together.map((rate, round) => rate / (alone[round] as number)));
    return { context, sessions: count, alone: spreadOf(alone), together: spreadOf(together), ratio, meanwhile };
  } finally {
    for (const session of sessions) await session.dispose();
  }
}

/** Tokens a second while all of the sessions decode: from the last first token to the first last one. */
async function decodeTogether(
  { model, steps, signal }: BenchSessionsOptions & Work,
  sessions: readonly Session[],
  text: Int32Array,
): Promise<number> {
  const times = await Promise.all(
    sessions.map(async (session) => {
      const at: number[] = [];
      for await (const _ of generate(model, session, text, steps, signal)) at.push(performance.now());
      return at;
    }),
  );
  const from = Math.max(...times.map((at) => at[0] as number));
  const to = Math.min(...times.map((at) => at.at(-1) as number));
  const decoded = times.flat().filter((at) => at > from && at <= to).length;
  return (decoded / (to - from)) * 1000;
}

/** Tokens of an answer that does not end by itself. */
function generate(model: Model, session: Session, text: Int32Array, maxTokens: number, signal: AbortSignal) {
  const constraint = {
    mask(logits: Float32Array) {
      for (const token of model.tokenizer.endOfGeneration) logits[token] = Number.NEGATIVE_INFINITY;
    },
    accept() {},
  };
  return session.generate(text, { maxTokens, temperature: 0, constraint, signal });
}

async function readMeanwhile(
  { model, attention, signal, onProgress }: BenchSessionsOptions & Work,
  sessions: readonly Session[],
  text: Int32Array,
  prompt: Int32Array,
): Promise<SessionsResult['meanwhile']> {
  const events: Event[] = [];
  const reading = new AbortController();
  const abort = AbortSignal.any([signal, reading.signal]);
  await using reader = await model.createSession({ attention });
  const most = model.contextLength - text.length;
  const decoders = sessions.map(async (session, index) => {
    for await (const _ of generate(model, session, text, most, abort))
      events.push({ session: index, at: performance.now() });
  });
  try {
    while (sessions.some((_, index) => !events.some(({ session }) => session === index))) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      signal.throwIfAborted();
    }
    await reader.generate(prompt, {
      maxTokens: 1,
      signal,
      onPrefill({ done, total }) {
        events.push({ session: -1, at: performance.now() });
        onProgress('reading meanwhile', done, total);
      },
    }).result;
  } finally {
    reading.abort();
    await Promise.all(decoders);
  }
  const chunkTimes = events.filter(({ session }) => session < 0).map(({ at }) => at);
  const chunkMs = chunkTimes.slice(1).map((at, i) => at - (chunkTimes[i] as number));
  const during = { from: chunkTimes[0] as number, to: chunkTimes.at(-1) as number };
  let [chunksBetweenTokens, longestGapMs] = [0, 0];
  for (const index of sessions.keys()) {
    let previous: number | undefined;
    let chunks = 0;
    for (const { session, at } of events) {
      if (session < 0) chunks++;
      if (session !== index) continue;
      if (previous !== undefined && at > during.from && previous < during.to) {
        chunksBetweenTokens = Math.max(chunksBetweenTokens, chunks);
        longestGapMs = Math.max(longestGapMs, at - previous);
      }
      previous = at;
      chunks = 0;
    }
  }
  return {
    prompt: prompt.length,
    // The first event says how much was there already.
    chunks: chunkMs.length,
    chunksBetweenTokens,
    chunkMs: spreadOf(chunkMs),
    longestGapMs,
    longestGapChunks: longestGapMs / quantile(chunkMs, 0.5),
  };
}
