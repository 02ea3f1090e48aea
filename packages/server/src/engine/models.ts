/** The models of a server by name: loaded when first asked for, let go when memory is needed for another. */
import type { PrefixOptions } from '@keysieve/llm';
import { ApiError } from '../http/api-error.ts';
import { createSessionPool, type ServedModel, type SessionPool, type SessionPoolLimits } from './session-pool.ts';

/** A model that the server offers, and how it gets it. */
export interface ModelSource {
  /** The name that requests use. */
  id: string;
  load(options: { signal: AbortSignal; onProgress(progress: LoadingProgress): void }): Promise<ServedModel>;
  /** Bytes that it will take once it is loaded, its caches left out. */
  predictBytes(): Promise<number>;
}

/** How far the loading of a model is. */
export interface LoadingProgress {
  phase: string;
  done: number;
  total: number;
}

export type ModelState = 'unloaded' | 'loading' | 'ready' | 'failed';

/** A model that is loaded, with its sessions. */
export interface LoadedModel {
  id: string;
  model: ServedModel;
  sessions: SessionPool;
}

export interface ModelStatus {
  id: string;
  state: ModelState;
  progress?: LoadingProgress;
  loaded?: LoadedModel;
}

export interface Models {
  /**
   * The model of this name, the first where there is none, loaded if need be; `release` lets the server let it go again.
   * Throws `model_not_found` (404), `model_load_failed` (503), or the reason of `signal`.
   */
  acquire(id: string | undefined, signal: AbortSignal): Promise<{ loaded: LoadedModel; release(): void }>;
  list(): ModelStatus[];
  /** Aborts what is being loaded and frees what is. */
  dispose(): Promise<void>;
}

export interface ModelsOptions {
  sessions: SessionPoolLimits;
  /** What is kept of prompts beside the sessions. */
  prefixes: PrefixOptions;
  /** Bytes of all loaded models past which those that nobody uses are let go. */
  memoryLimit: number;
  onLoadFailed(id: string, error: unknown): void;
}

interface Entry {
  source: ModelSource;
  state: ModelState;
  progress?: LoadingProgress;
  loading?: Promise<LoadedModel>;
  loaded?: LoadedModel;
  bytes: number;
  users: number;
  lastUsed: number;
}

const LOAD_RETRY_SECONDS = 10;

export function createModels(sources: readonly ModelSource[], options: ModelsOptions): Models {
  const entries = sources.map((source): Entry => ({ source, state: 'unloaded', bytes: 0, users: 0, lastUsed: 0 }));
  const controller = new AbortController();
  let uses = 0;

  function find(id: string | undefined): Entry {
    const entry = id === undefined ? entries[0] : entries.find(({ source }) => source.id === id);
    if (entry !== undefined) return entry;
    throw new ApiError({
      status: 404,
      type: 'invalid_request_error',
      code: 'model_not_found',
      message: `There is no model of this name here. Served are: ${sources.map((source) => source.id).join(', ')}.`,
      param: 'model',
    });
  }

  async function acquire(id: string | undefined, signal: AbortSignal) {
    const entry = find(id);
    entry.users++;
    entry.lastUsed = ++uses;
    let held = true;
    const release = () => {
      if (held) entry.users--;
      held = false;
    };
    try {
      // A client that goes away leaves the model to be loaded for the next one.
      const loaded = entry.loaded ?? (await orAborted(startLoading(entry), signal));
      return { loaded, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  function startLoading(entry: Entry): Promise<LoadedModel> {
    entry.loading ??= load(entry).finally(() => {
      delete entry.loading;
      delete entry.progress;
    });
    entry.loading.catch(() => {});
    return entry.loading;
  }

  async function load(entry: Entry): Promise<LoadedModel> {
    const { id } = entry.source;
    entry.state = 'loading';
    try {
      entry.bytes = await entry.source.predictBytes();
      await makeRoom(entry);
      const model = await entry.source.load({
        signal: controller.signal,
        onProgress: (progress) => {
          entry.progress = progress;
        },
      });
      const sessions = createSessionPool(model, options.sessions, model.openPrefixes?.(options.prefixes));
      const loaded = { id, model, sessions };
      entry.loaded = loaded;
      entry.state = 'ready';
      return loaded;
    } catch (cause) {
      entry.state = 'failed';
      options.onLoadFailed(id, cause);
      throw new ApiError({
        status: 503,
        type: 'unavailable_error',
        code: 'model_load_failed',
        message: `The model ${id} could not be loaded; the log of the server says why.`,
        retryAfter: LOAD_RETRY_SECONDS,
        cause,
      });
    }
  }

  /** Lets models go that nobody uses, the least recently used first, until the new one fits. */
  async function makeRoom(entry: Entry): Promise<void> {
    const bytes = () =>
      entries.reduce((sum, each) => sum + (each === entry || each.loaded !== undefined ? each.bytes : 0), 0);
    while (bytes() > options.memoryLimit) {
      const [oldest] = entries
        .filter((entry) => entry.loaded !== undefined && entry.users === 0)
        .sort((a, b) => a.lastUsed - b.lastUsed);
      if (oldest === undefined) return;
      await unload(oldest);
    }
  }

  async function unload(entry: Entry): Promise<void> {
    const { loaded } = entry;
    delete entry.loaded;
    entry.state = 'unloaded';
    await loaded?.sessions.dispose();
    await loaded?.model.dispose();
  }

  async function dispose(): Promise<void> {
    controller.abort();
    await Promise.allSettled(entries.map((entry) => entry.loading));
    for (const entry of entries) await unload(entry);
  }

  return {
    acquire,
    list: () =>
      entries.map(({ source, state, progress, loaded }) => ({
        id: source.id,
        state,
        ...(progress !== undefined && { progress }),
        ...(loaded !== undefined && { loaded }),
      })),
    dispose,
  };
}

/** What `promise` gives, unless the signal fires first. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
  }
}
