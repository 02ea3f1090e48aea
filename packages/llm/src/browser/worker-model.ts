/** A model in a worker, so that a page never waits for it: what `loadModel` gives, over messages. */
import { proxy, releaseProxy, wrap } from 'comlink';
import { KeysieveError } from 'keysieve';
import type { SourceLocation } from '../io/source.ts';
import type { PrefillProgress } from '../session/generate-options.ts';
import type { Generation, GenerationChunk, GenerationResult } from '../session/generation.ts';
import type { LoadProgress } from '../session/load-progress.ts';
import type { Prompt } from '../session/prompt.ts';
import type {
  EngineApi,
  ModelFacts,
  Outcome,
  WorkerGenerateOptions,
  WorkerLoadOptions,
  WorkerSessionOptions,
} from './protocol.ts';

export interface WorkerModelOptions extends WorkerLoadOptions {
  onProgress?: ((progress: LoadProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

export interface WorkerSession extends AsyncDisposable {
  /** As `Session.generate`. Functions among the options are called with messages, and so a little later. */
  generate(
    prompt: Prompt,
    options?: WorkerGenerateOptions & {
      signal?: AbortSignal | undefined;
      onPrefill?: ((progress: PrefillProgress) => void) | undefined;
    },
  ): Generation;
  /** Where the last answer has looked: the largest weight that any head gives each position, from 0 to 1. */
  attentionMap(): Promise<Float32Array>;
  dispose(): Promise<void>;
}

export interface WorkerModel extends ModelFacts, AsyncDisposable {
  /** Token ids of a prompt as sessions read it. */
  encode(prompt: Prompt): Promise<Int32Array>;
  /** The text of each token; whole characters come with the last of their tokens. */
  tokenTexts(tokens: Int32Array): Promise<string[]>;
  /** SHA-256 of the file, hexadecimal. */
  hash(): Promise<string>;
  createSession(options?: WorkerSessionOptions): Promise<WorkerSession>;
  /** Frees the model and ends the worker. */
  dispose(): Promise<void>;
}

/**
 * Loads a model in a worker that runs `@keysieve/llm/browser-worker`:
 * `new Worker(new URL('@keysieve/llm/browser-worker', import.meta.url), { type: 'module' })`. Throws as `loadModel` does, and
 * `out-of-memory`, with the numbers, for a model that a page cannot hold; the worker is ended then.
 */
export async function createWorkerModel(
  worker: Worker,
  source: SourceLocation,
  { onProgress = () => {}, signal, ...options }: WorkerModelOptions = {},
): Promise<WorkerModel> {
  const engine = wrap<EngineApi>(worker);
  const end = () => {
    engine[releaseProxy]();
    worker.terminate();
  };
  // A program that cannot be started says so in an event only.
  const failed = new Promise<never>((_, reject) => {
    worker.addEventListener('error', ({ message }) => reject(engineFailed(message || 'it could not be started')));
  });
  failed.catch(() => {});
  const ask = async <T>(answer: Promise<Outcome<T>>): Promise<T> => {
    const outcome = await Promise.race([answer, failed]);
    if ('error' in outcome) throw new KeysieveError(outcome.error);
    return outcome.value;
  };
  let works = 0;
  /** Asks for what a signal ends. */
  const askAbortably = async <T>(
    signal: AbortSignal | undefined,
    start: (work: number) => Promise<Outcome<T>>,
  ): Promise<T> => {
    const work = ++works;
    const abort = () => void engine.abort(work);
    const answer = ask(start(work));
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await answer;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  };

  function createWorkerSession(number: number): WorkerSession {
    const dispose = async () => engine.disposeSession(number);
    return {
      generate(prompt, { signal, onPrefill = () => {}, ...rest } = {}) {
        return createWorkerGeneration(signal, (end, onChunk) =>
          askAbortably(
            end,
            (work) =>
              engine.generate(number, prompt, rest, work, proxy(onChunk), proxy(onPrefill)) as Promise<
                Outcome<GenerationResult>
              >,
          ),
        );
      },
      attentionMap: () => ask(engine.attentionMap(number) as Promise<Outcome<Float32Array>>),
      dispose,
      [Symbol.asyncDispose]: dispose,
    };
  }

  try {
    const posted = source instanceof URL ? { url: source.href } : source;
    const facts = await askAbortably(
      signal,
      (work) => engine.load(posted, options, work, proxy(onProgress)) as Promise<Outcome<ModelFacts>>,
    );
    const dispose = async () => {
      await engine.dispose();
      end();
    };
    return {
      ...facts,
      encode: (prompt) => ask(engine.encode(prompt) as Promise<Outcome<Int32Array>>),
      tokenTexts: (tokens) => ask(engine.tokenTexts(tokens) as Promise<Outcome<string[]>>),
      hash: () => ask(engine.hash() as Promise<Outcome<string>>),
      createSession: async (sessionOptions = {}) =>
        createWorkerSession(await ask(engine.createSession(sessionOptions) as Promise<Outcome<number>>)),
      dispose,
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    end();
    throw error;
  }
}

/** An answer whose chunks come by messages, as they come in the worker: to whoever iterates, and then as a whole. */
function createWorkerGeneration(
  signal: AbortSignal | undefined,
  start: (signal: AbortSignal, onChunk: (chunk: GenerationChunk) => void) => Promise<GenerationResult>,
): Generation {
  const abort = new AbortController();
  const queue: GenerationChunk[] = [];
  let wake = () => {};
  let ended = false;
  let used = false;
  let result: Promise<GenerationResult> | undefined;

  const begin = () => {
    result ??= start(signal === undefined ? abort.signal : AbortSignal.any([signal, abort.signal]), (chunk) => {
      queue.push(chunk);
      wake();
    }).finally(() => {
      ended = true;
      wake();
    });
    result.catch(() => {});
    return result;
  };

  return {
    async *[Symbol.asyncIterator]() {
      if (used) {
        throw new KeysieveError({
          code: 'generation-used',
          problem: 'The chunks of an answer come once.',
          remedy: 'Iterate once, or await its result.',
        });
      }
      used = true;
      const whole = begin();
      try {
        while (!ended || queue.length > 0) {
          const chunk = queue.shift();
          if (chunk !== undefined) yield chunk;
          else
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
        }
        await whole;
      } finally {
        if (!ended) abort.abort();
      }
    },
    get result() {
      return begin();
    },
  };
}

function engineFailed(found: string) {
  return new KeysieveError({
    code: 'backend-failed',
    problem: 'The worker of the engine failed.',
    found,
    remedy: 'Load the model again; where it fails again, look whether the worker runs @keysieve/llm/browser-worker.',
  });
}
