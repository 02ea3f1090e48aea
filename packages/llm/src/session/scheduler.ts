/**
 * Who runs next on a model: sessions that decode run together, in one pass with a row or more of each; prompts are read a
 * chunk at a time between these passes, in turns. So nobody who decodes waits for more than a chunk, and no prompt for
 * more than one pass and one chunk of each other prompt.
 */
import type { TransformerSegments } from '../model/index.ts';
import { WIDE_SEGMENT_MIN_ROWS } from '../model/row-blocks.ts';
import { throwIfAborted } from '../onnx/abort.ts';
import {
  forwardPass,
  forwardSequence,
  type PassOutcome,
  type Sequence,
  type SequenceRows,
  type Step,
  stepOf,
} from './forward-pass.ts';

/** `decode`: a token, with others that decode. `prompt`: a chunk of a prompt or of a text, alone. */
export type PassKind = 'decode' | 'prompt';

export interface Scheduler {
  /**
   * Runs rows when it is their turn. Throws what became of them, and `aborted` where the signal fires before. A signal that
   * fires while rows of several sessions run leaves theirs in the cache, like those of the others.
   */
  run(rows: SequenceRows, kind: PassKind, signal: AbortSignal | undefined): Promise<Step>;
  /** Says that a sequence will not go on decoding, so that nobody waits for it. */
  leave(sequence: Sequence): void;
}

interface Request {
  rows: SequenceRows;
  signal: AbortSignal | undefined;
  resolve(step: Step): void;
  reject(error: unknown): void;
}

/**
 * Most rows of a pass that decodes: from one more on, products use the weights that prompts are read with, which may be
 * rounded further than those that a session decodes with alone.
 */
export const MAX_DECODE_ROWS = WIDE_SEGMENT_MIN_ROWS - 1;

/**
 * Longest wait for a session that was in the last pass, until it has drawn its token and asks for the next one. Whoever
 * takes longer is in the pass after.
 */
const GATHER_MS = 2;

export function createScheduler(segments: TransformerSegments): Scheduler {
  const waiting: Record<PassKind, Request[]> = { decode: [], prompt: [] };
  /** Sequences that were in the last pass, and are about to ask for the next. */
  const expected = new Set<Sequence>();
  let isRunning = false;

  function run(rows: SequenceRows, kind: PassKind, signal: AbortSignal | undefined): Promise<Step> {
    return new Promise((resolve, reject) => {
      throwIfAborted(signal);
      const request: Request = {
        rows,
        signal,
        resolve(step) {
          signal?.removeEventListener('abort', onAbort);
          resolve(step);
        },
        reject(error) {
          signal?.removeEventListener('abort', onAbort);
          reject(error);
        },
      };
      const onAbort = () => {
        if (!waiting[kind].includes(request)) return;
        waiting[kind] = waiting[kind].filter((other) => other !== request);
        try {
          throwIfAborted(signal);
        } catch (error) {
          request.reject(error);
        }
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      waiting[kind].push(request);
      if (!isRunning) void work();
    });
  }

  async function work(): Promise<void> {
    isRunning = true;
    try {
      while (waiting.decode.length > 0 || waiting.prompt.length > 0) {
        if (waiting.decode.length > 0) {
          await gather();
          await runTogether(takeDecoding());
        }
        const prompt = waiting.prompt.shift();
        if (prompt !== undefined) await runAlone(prompt);
      }
    } finally {
      isRunning = false;
    }
  }

  /** Waits a moment for those that were in the last pass. */
  async function gather(): Promise<void> {
    const end = performance.now() + GATHER_MS;
    for (const { rows } of waiting.decode) expected.delete(rows.sequence);
    while (expected.size > 0 && performance.now() < end) {
      await nextTurn();
      for (const { rows } of waiting.decode) expected.delete(rows.sequence);
    }
    expected.clear();
  }

  /** The requests of the next pass, the longest waiting first. */
  function takeDecoding(): Request[] {
    let rows = 0;
    const taken = waiting.decode.filter(({ rows: { tokens } }, i) => {
      rows += tokens.length;
      return i === 0 || rows <= MAX_DECODE_ROWS;
    });
    waiting.decode = waiting.decode.filter((request) => !taken.includes(request));
    return taken;
  }

  async function runTogether(requests: readonly Request[]): Promise<void> {
    const [first] = requests;
    if (first === undefined) return;
    for (const { rows } of requests) expected.add(rows.sequence);
    // An abort of one must not end the pass of the others.
    const signal = requests.length === 1 ? first.signal : undefined;
    let outcomes: PassOutcome[];
    try {
      outcomes = await forwardPass(
        segments,
        requests.map(({ rows }) => rows),
        signal,
      );
    } catch (error) {
      for (const { reject } of requests) reject(error);
      return;
    }
    for (const [i, { resolve, reject }] of requests.entries()) {
      const outcome = outcomes[i] as PassOutcome;
      if ('error' in outcome) reject(outcome.error);
      else resolve(stepOf(outcome));
    }
  }

  async function runAlone({ rows, signal, resolve, reject }: Request): Promise<void> {
    try {
      resolve(await forwardSequence(segments, rows, signal));
    } catch (error) {
      reject(error);
    }
  }

  return { run, leave: (sequence) => void expected.delete(sequence) };
}

/** A turn of the event loop, so that whoever was given a step can go on with it. */
const nextTurn = (): Promise<void> =>
  new Promise((resolve) => {
    if (typeof setImmediate === 'undefined') setTimeout(resolve, 0);
    else setImmediate(resolve);
  });
