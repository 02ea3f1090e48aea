/**
 * Answers to one prompt, as a stream of events: how far the reading is, each token as it comes, how each answer ended.
 */
import {
  type GenerateOptions,
  type GenerationResult,
  llmError,
  type SessionOptions,
  type TokenProbabilities,
} from '@keysieve/llm';
import type { LoadedModel } from './models.ts';
import type { ServedSession } from './session-pool.ts';

export interface AnswerRequest {
  loaded: LoadedModel;
  prompt: Int32Array;
  /** How to attend. */
  settings: SessionOptions;
  /** Sampling, length and stop strings of a choice. */
  generate(choice: number): GenerateOptions;
  /** Number of answers. */
  choices: number;
  signal: AbortSignal;
}

export type AnswerEvent =
  | { type: 'prefill'; total: number; cached: number; processed: number; milliseconds: number }
  | { type: 'token'; choice: number; text: string; token: number; probabilities?: TokenProbabilities }
  | { type: 'end'; choice: number; result: GenerationResult };

/** Generates the choices one after the other on one session: the prompt is read once. */
export async function* answer({
  loaded,
  prompt,
  settings,
  generate,
  choices,
  signal,
}: AnswerRequest): AsyncGenerator<AnswerEvent, void> {
  const lease = await loaded.sessions.lease(prompt, settings);
  let failed = false;
  try {
    for (let choice = 0; choice < choices; choice++) {
      yield* answerOnce(lease.session, prompt, { ...generate(choice), signal }, choice);
    }
  } catch (error) {
    // An aborted session is as good as before, with what it has read.
    failed = !isHarmless(error);
    throw error;
  } finally {
    await lease.release({ failed });
  }
}

/** Codes of errors after which a session can be used on. */
const HARMLESS = new Set(['aborted', 'invalid-argument', 'prompt-too-long', 'cache-out-of-memory', 'cache-full']);
const isHarmless = (error: unknown): boolean => HARMLESS.has((error as { code?: string } | undefined)?.code ?? '');

async function* answerOnce(
  session: ServedSession,
  prompt: Int32Array,
  options: GenerateOptions,
  choice: number,
): AsyncGenerator<AnswerEvent, void> {
  const started = performance.now();
  let progress: AnswerEvent | undefined;
  let announce = () => {};
  const generation = session.generate(prompt, {
    ...options,
    onPrefill({ done, total, reused }) {
      const milliseconds = performance.now() - started;
      progress = { type: 'prefill', total, cached: reused, processed: done, milliseconds };
      announce();
    },
  });
  const iterator = generation[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = iterator.next();
      // Whoever leaves while it is pending does not wait for it.
      next.catch(() => {});
      let result: Awaited<typeof next> | undefined;
      while (result === undefined) {
        const announced = new Promise<undefined>((resolve) => {
          announce = () => resolve(undefined);
        });
        if (progress === undefined) result = await Promise.race([next, announced]);
        if (progress !== undefined) {
          const event: AnswerEvent = progress;
          progress = undefined;
          if (choice === 0) yield event;
        }
      }
      if (result.done) break;
      const { text, token, probabilities } = result.value;
      yield { type: 'token', choice, text, token, ...(probabilities !== undefined && { probabilities }) };
    }
    const result = await generation.result;
    if (result.finishReason === 'aborted') {
      throw llmError({
        code: 'aborted',
        problem: 'The answer was aborted.',
        remedy: 'Ask again: what has been read is kept.',
        cause: options.signal?.reason,
      });
    }
    yield { type: 'end', choice, result };
  } finally {
    await iterator.return?.();
  }
}
