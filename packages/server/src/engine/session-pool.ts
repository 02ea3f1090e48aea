/**
 * Sessions that are kept between requests, so that a prompt that begins as an earlier one did is read on from there. A
 * session serves one request at a time; which one serves a prompt is decided by what must be read and what is lost. What
 * none of them has, it may find in a store of what prompts begin with.
 */
import type {
  GenerateOptions,
  Generation,
  Model,
  PrefixOptions,
  PrefixStore,
  Prompt,
  Session,
  SessionOptions,
} from '@keysieve/llm';

/** The part of a session that the server uses. */
export interface ServedSession {
  readonly tokens: readonly number[];
  /** Bytes of its cache, those that others read too divided among them. */
  readonly memory: Pick<Session['memory'], 'proportional'>;
  generate(prompt: Prompt, options?: GenerateOptions): Generation;
  dispose(): Promise<void>;
}

/** The part of a model that the server uses. */
export interface ServedModel
  extends Pick<Model, 'name' | 'contextLength' | 'precision' | 'tokenizer' | 'encode' | 'chatTemplate' | 'dispose'> {
  createSession(options?: SessionOptions): Promise<ServedSession>;
  /** Where it has such a store: for what prompts begin with, whoever has read it. */
  openPrefixes?(options: PrefixOptions): PrefixStore;
}

export interface SessionLease {
  session: ServedSession;
  /** Gives the session back; one that has failed is disposed of. */
  release(options?: { failed: boolean }): Promise<void>;
}

export interface SessionPool {
  /** A session for a prompt with these settings: the kept one that saves most, or a new one. */
  lease(prompt: Int32Array, settings: SessionOptions): Promise<SessionLease>;
  readonly sessions: number;
  /** Bytes of the caches of all sessions: pages that several of them read count once. */
  readonly cacheBytes: number;
  dispose(): Promise<void>;
}

export interface SessionPoolLimits {
  /** Sessions that are kept. */
  maxSessions: number;
  /** Bytes of all caches together past which idle sessions are let go. */
  maxCacheBytes: number;
}

interface Entry {
  session: ServedSession;
  settings: string;
  busy: boolean;
  lastUsed: number;
}

/** What a cached token that is overwritten costs, against one that must be read: it may never be asked for again. */
const OVERWRITE_COST = 0.5;

export function createSessionPool(
  model: Pick<ServedModel, 'createSession'>,
  { maxSessions, maxCacheBytes }: SessionPoolLimits,
  prefixes?: PrefixStore,
): SessionPool {
  const entries = new Set<Entry>();
  let uses = 0;
  /** Sessions that are being made. */
  let pending = 0;

  async function lease(prompt: Int32Array, options: SessionOptions): Promise<SessionLease> {
    const settings = JSON.stringify(options);
    const idle = [...entries].filter((entry) => !entry.busy && entry.settings === settings);
    const costs = new Map(idle.map((entry) => [entry, reuseCost(entry.session.tokens, prompt)]));
    const best = idle.sort((a, b) => (costs.get(a) as number) - (costs.get(b) as number) || a.lastUsed - b.lastUsed)[0];
    const hasRoom = entries.size + pending < maxSessions;
    if (best !== undefined && !(hasRoom && (costs.get(best) as number) > prompt.length)) return take(best);
    pending++;
    try {
      if (!hasRoom) await letGoOfOldest();
      const session = await model.createSession({ ...options, ...(prefixes && { prefixes }) });
      const entry: Entry = { session, settings, busy: false, lastUsed: 0 };
      entries.add(entry);
      return take(entry);
    } finally {
      pending--;
    }
  }

  function take(entry: Entry): SessionLease {
    entry.busy = true;
    entry.lastUsed = ++uses;
    return {
      session: entry.session,
      async release({ failed } = { failed: false }) {
        entry.busy = false;
        if (failed) await letGo(entry);
        while (cacheBytes() > maxCacheBytes && (await letGoOfOldest()));
      },
    };
  }

  async function letGo(entry: Entry): Promise<void> {
    entries.delete(entry);
    await entry.session.dispose();
  }

  /** Disposes of the idle session that was used longest ago; false where there is none. */
  async function letGoOfOldest(): Promise<boolean> {
    const [oldest] = [...entries].filter((entry) => !entry.busy).sort((a, b) => a.lastUsed - b.lastUsed);
    if (oldest === undefined) return false;
    await letGo(oldest);
    return true;
  }

  const cacheBytes = () => [...entries].reduce((sum, { session }) => sum + session.memory.proportional, 0);

  return {
    lease,
    get sessions() {
      return entries.size;
    },
    get cacheBytes() {
      return cacheBytes();
    },
    async dispose() {
      for (const entry of [...entries]) await letGo(entry);
      await prefixes?.dispose();
    },
  };
}

/** Tokens that must be read, and a share of those that are cut off: what it costs to serve a prompt from a cache. */
export function reuseCost(cached: readonly number[], prompt: Int32Array): number {
  const max = Math.min(cached.length, prompt.length);
  let common = 0;
  while (common < max && cached[common] === prompt[common]) common++;
  return prompt.length - common + OVERWRITE_COST * (cached.length - common);
}
