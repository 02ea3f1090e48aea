/** The engine in a worker: answers what `createWorkerModel` of a page asks. */
import { expose } from 'comlink';
import { KeysieveError } from 'keysieve';
import { llmError } from '../errors.ts';
import type { SourceLocation } from '../io/source.ts';
import { attentionMap } from '../session/attention-map.ts';
import { loadModel, type Model } from '../session/load-model.ts';
import { estimateMemory } from '../session/memory-estimate.ts';
import type { Session } from '../session/session.ts';
import type { EngineApi, Outcome } from './protocol.ts';

/** Most bytes that ONNX Runtime can have, whose memory has 32-bit addresses; the rest is for what it works on. */
const MAX_WEIGHT_BYTES = 3.5 * 2 ** 30;

export function createEngine(): EngineApi {
  let model: Model | undefined;
  const sessions = new Map<number, Session>();
  /** Where the last answer of a session begins. */
  const answers = new Map<number, number>();
  const running = new Map<number, AbortController>();
  let lastSession = 0;

  async function outcome<T>(work: () => Promise<T> | T): Promise<Outcome<T>> {
    try {
      return { value: await work() };
    } catch (error) {
      if (!(error instanceof KeysieveError)) throw error;
      return { error: detailsOf(error) };
    }
  }

  /** Runs what `abort(number)` ends. */
  async function abortable<T>(number: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    running.set(number, controller);
    try {
      return await work(controller.signal);
    } finally {
      running.delete(number);
    }
  }

  function loaded(): Model {
    if (model !== undefined) return model;
    throw llmError({ code: 'disposed', problem: 'No model is loaded.', remedy: 'Load one.' });
  }

  function sessionOf(number: number): Session {
    const session = sessions.get(number);
    if (session !== undefined) return session;
    throw llmError({ code: 'disposed', problem: 'The session is disposed of.', remedy: 'Create another.' });
  }

  async function disposeSession(number: number): Promise<void> {
    const session = sessions.get(number);
    sessions.delete(number);
    answers.delete(number);
    await session?.dispose();
  }

  async function dispose(): Promise<void> {
    for (const controller of running.values()) controller.abort();
    for (const number of [...sessions.keys()]) await disposeSession(number);
    await model?.dispose();
    model = undefined;
  }

  return {
    load: (posted, options, work, onProgress) =>
      outcome(async () => {
        await dispose();
        return await abortable(work, async (signal) => {
          const source = typeof posted === 'object' && 'url' in posted ? new URL(posted.url) : posted;
          // What is still to be fetched cannot be looked at yet.
          if (typeof source !== 'string') await refuseTooLarge(source, options);
          const progress = inOrder(onProgress);
          model = await loadModel(source, { ...options, signal, onProgress: progress.tell });
          await progress.arrived();
          const { name, config, contextLength, ropeExtended, precision, threads } = model;
          return { name, config, contextLength, ropeExtended, precision, threads, hasChatTemplate: hasTemplate(model) };
        });
      }),
    abort(work) {
      running.get(work)?.abort();
    },
    encode: (prompt) => outcome(() => loaded().encode(prompt)),
    tokenTexts: (tokens) =>
      outcome(() => {
        const { tokenizer } = loaded();
        const decoder = tokenizer.streamDecoder();
        return Array.from(tokens, (token) => decoder.append(token));
      }),
    hash: () => outcome(() => loaded().hash()),
    createSession: (options) =>
      outcome(async () => {
        sessions.set(++lastSession, await loaded().createSession(options));
        return lastSession;
      }),
    generate: (number, prompt, options, work, onChunk, onPrefill) =>
      outcome(() =>
        abortable(work, async (signal) => {
          const [chunks, reading] = [inOrder(onChunk), inOrder(onPrefill)];
          const generation = sessionOf(number).generate(prompt, { ...options, signal, onPrefill: reading.tell });
          for await (const chunk of generation) chunks.tell(chunk);
          const result = await generation.result;
          await Promise.all([chunks.arrived(), reading.arrived()]);
          answers.set(number, result.promptTokens);
          return result;
        }),
      ),
    attentionMap: (number) => outcome(() => attentionMap(sessionOf(number), answers.get(number) ?? 0)),
    disposeSession,
    dispose,
  };
}

/** Calls a function of the page; `arrived` waits for the last call, since an answer goes another way and could come before it. */
function inOrder<T>(call: (value: T) => unknown): { tell(value: T): void; arrived(): Promise<unknown> } {
  let last: unknown;
  return {
    tell: (value) => {
      last = call(value);
    },
    arrived: async () => last,
  };
}

/** What an error was made from: its message is the problem, what was found and the remedy, in this order. */
function detailsOf({ code, message, found, remedy }: KeysieveError): ConstructorParameters<typeof KeysieveError>[0] {
  const rest = `${found === undefined ? '' : ` Found: ${found}.`} ${remedy}`;
  return { code, problem: message.slice(0, message.length - rest.length), found, remedy };
}

function hasTemplate(model: Model): boolean {
  try {
    return model.chatTemplate().source !== '';
  } catch {
    return false;
  }
}

/** Throws `out-of-memory`, with the numbers, before anything of a model is allocated that cannot be held. */
async function refuseTooLarge(source: SourceLocation, options: { context?: number | undefined }) {
  const { weights, total, context } = await estimateMemory(source, options);
  // Chromium and Firefox tell at most 8 or 32 GiB, and nothing in other browsers.
  const { deviceMemory } = navigator as { deviceMemory?: number };
  const limit = deviceMemory === undefined || deviceMemory >= 8 ? Number.POSITIVE_INFINITY : deviceMemory * 2 ** 30;
  if (weights <= MAX_WEIGHT_BYTES && total <= limit) return;
  const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  throw llmError({
    code: 'out-of-memory',
    problem: 'The model does not fit into the memory of a page.',
    found: `${gib(weights)} of weights, and ${gib(total)} in all with ${context} tokens`,
    remedy: `Take a smaller model (weights of at most ${gib(MAX_WEIGHT_BYTES)} as float32), or a smaller context.`,
  });
}

/** Serves the page that has started this worker. */
export function serveEngine(): void {
  expose(createEngine());
}
