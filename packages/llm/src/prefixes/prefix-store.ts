/**
 * What prompts begin with, kept when the sessions that read it have ended: full pages by the name of the prefix that each
 * ends, which depends on all tokens before it and on whatever else keys and values depend on (`CacheSettings`). Pages lie
 * in the memory that sessions share, so that one more session with the same beginning takes no more of it. Where there is
 * a folder they are written there too, for the next process and for others.
 */
import { type Attention, PAGE_KEYS } from 'keysieve';
import { type AttentionEngine, copyPage, importPage, releasePage, type SharedPage } from 'keysieve/engine';
import { type CacheSettings, commonPrefix, prefixNames, rootOf } from '../snapshot/settings.ts';
import type { PageToWrite, PrefixFolder } from './prefix-folder.ts';

/** A page that is kept in memory. */
interface Entry {
  /** Name of the prefix before it. */
  before: string;
  tokens: Uint32Array;
  page: SharedPage;
  headErrors: Float64Array | undefined;
  /** Held as long as the page is. */
  engine: AttentionEngine;
  /** Whether the folder could not take it: it is written with the next prompt that begins with it. */
  unwritten: boolean;
}

/** A page that was found. */
export interface FoundPage {
  readonly page: SharedPage;
  readonly tokens: Uint32Array;
  readonly headErrors: Float64Array | undefined;
}

/** The cache of a session, and the tokens that are in it. */
export interface KeptTokens {
  readonly attention: Attention;
  readonly tokens: readonly number[];
}

/** How much the store holds, and what it has been good for. */
export interface PrefixStats {
  /** Pages in memory, and their bytes. */
  pages: number;
  bytes: number;
  /** Pages that were found in memory, and read from the folder. */
  foundPages: number;
  loadedPages: number;
  /** Pages that were given up to make room. */
  evictedPages: number;
}

/** Prefixes of one model, for the sessions that are made with it: see `Model.openPrefixes`. */
export interface PrefixStore extends AsyncDisposable {
  /** Keeps the full pages of a session from page `from` on. `headErrors`: what its heads have shown, with the last of them. */
  keep(settings: CacheSettings, kept: KeptTokens, from: number, headErrors: Float64Array): void;
  /**
   * Calls `take` with each page of a prompt from page `from` on that is there, in order, and gives their number. A page is
   * only valid until `take` returns.
   */
  find(
    settings: CacheSettings,
    engine: AttentionEngine,
    tokens: Int32Array,
    from: number,
    take: (page: FoundPage) => void,
  ): Promise<number>;
  /** The longest beginning of `tokens`, which follow on the first `page` pages of a prompt, that some kept page begins with. */
  nearest(settings: CacheSettings, prompt: Int32Array, page: number): Promise<Uint32Array | undefined>;
  stats(): PrefixStats;
  /** Resolves when everything that was kept so far is in the folder. */
  flush(): Promise<void>;
  dispose(): Promise<void>;
}

export function createPrefixStore(memoryLimit: number, folder: PrefixFolder | undefined): PrefixStore {
  /** By name, those that were used last at the end. */
  const entries = new Map<string, Entry>();
  /** Names of the pages that follow on a prefix. */
  const following = new Map<string, Set<string>>();
  const counts = { foundPages: 0, loadedPages: 0, evictedPages: 0 };
  let bytes = 0;
  let disposed = false;

  function add(name: string, entry: Entry): void {
    entry.engine.retain();
    entries.set(name, entry);
    const siblings = following.get(entry.before) ?? new Set();
    following.set(entry.before, siblings.add(name));
    bytes += entry.page.bytes;
  }

  function remove(name: string): void {
    const { before, page, engine } = entries.get(name) as Entry;
    entries.delete(name);
    const siblings = following.get(before);
    siblings?.delete(name);
    if (siblings?.size === 0) following.delete(before);
    bytes -= page.bytes;
    releasePage(page);
    void engine.release();
  }

  /** Makes these the last that are given up, and of them the deepest first. */
  function touch(names: readonly string[]): void {
    for (const name of names.toReversed()) {
      const entry = entries.get(name);
      if (entry === undefined) continue;
      entries.delete(name);
      entries.set(name, entry);
    }
  }

  function makeRoom(): void {
    for (const name of entries.keys()) {
      if (bytes <= memoryLimit) return;
      remove(name);
      counts.evictedPages++;
    }
  }

  async function writePages(folder: PrefixFolder, settings: CacheSettings, pages: readonly PageToWrite[]) {
    const setUnwritten = ({ name }: PageToWrite, unwritten: boolean) => {
      const entry = entries.get(name);
      if (entry !== undefined) entry.unwritten = unwritten;
    };
    for (const page of pages) setUnwritten(page, false);
    const written = await folder.write(settings, pages);
    for (const page of pages.slice(written)) setUnwritten(page, true);
  }

  /** A page in the memory of an engine: as it is kept, or a copy where that is another engine's. */
  function pageFor(engine: AttentionEngine, entry: Entry): FoundPage {
    return entry.page.pool === engine.slabs
      ? entry
      : { ...entry, page: importPage(engine.slabs, copyPage(entry.page)) };
  }

  return {
    keep(settings, { attention, tokens }, from, headErrors) {
      if (disposed) return;
      const root = rootOf(settings);
      const full = Math.floor(attention.cache.length / PAGE_KEYS);
      const names = prefixNames(root, tokens.slice(0, full * PAGE_KEYS));
      const pages: PageToWrite[] = [];
      for (let page = 0; page < full; page++) {
        const name = names[page] as string;
        const existing = entries.get(name);
        const isLast = page === full - 1;
        if (existing === undefined && page < from) continue;
        if (existing !== undefined && isLast) existing.headErrors ??= headErrors;
        const entry = existing ?? {
          before: page === 0 ? root : (names[page - 1] as string),
          tokens: Uint32Array.from(tokens.slice(page * PAGE_KEYS, (page + 1) * PAGE_KEYS)),
          page: attention.cache.holdPage(page),
          headErrors: isLast && attention.cache.length % PAGE_KEYS === 0 ? headErrors : undefined,
          engine: attention.engine,
          unwritten: true,
        };
        if (existing === undefined) add(name, entry);
        if (entry.unwritten) pages.push({ ...entry, name, page, held: entry.page });
      }
      if (folder !== undefined) void writePages(folder, settings, pages);
      touch(names);
      makeRoom();
    },
    async find(settings, engine, tokens, from, take) {
      const root = rootOf(settings);
      const names = prefixNames(root, tokens);
      const takeFrom = (entry: Entry) => {
        const found = pageFor(engine, entry);
        try {
          take(found);
        } finally {
          if (found.page !== entry.page) releasePage(found.page);
        }
      };
      let page = from;
      for (; page < names.length; page++) {
        const name = names[page] as string;
        const entry = entries.get(name);
        if (entry !== undefined) {
          takeFrom(entry);
          counts.foundPages++;
          continue;
        }
        const before = page === 0 ? root : (names[page - 1] as string);
        const record = await folder?.read(settings, name, before);
        if (record === undefined || disposed) break;
        const loaded: Entry = {
          ...record,
          before,
          page: importPage(engine.slabs, record.page),
          engine,
          unwritten: false,
        };
        // Another session may have brought it meanwhile.
        if (entries.has(name)) releasePage(loaded.page);
        else add(name, loaded);
        takeFrom(entries.get(name) as Entry);
        counts.loadedPages++;
        makeRoom();
      }
      touch(names.slice(0, page));
      folder?.touch(rootOf(settings), names.slice(0, page));
      return page - from;
    },
    async nearest(settings, prompt, page) {
      const root = rootOf(settings);
      const before = prefixNames(root, prompt.subarray(0, page * PAGE_KEYS)).at(-1) ?? root;
      const rest = prompt.subarray(page * PAGE_KEYS);
      const kept = [...(following.get(before) ?? [])].map((name) => (entries.get(name) as Entry).tokens);
      const candidates = kept.length > 0 ? kept : ((await folder?.following(root, before)) ?? []);
      let nearest: Uint32Array | undefined;
      for (const tokens of candidates) {
        if (nearest === undefined || commonPrefix(tokens, rest) > commonPrefix(nearest, rest)) nearest = tokens;
      }
      return nearest;
    },
    stats: () => ({ pages: entries.size, bytes, ...counts }),
    flush: async () => folder?.flush(),
    async dispose() {
      disposed = true;
      await folder?.flush();
      for (const name of [...entries.keys()]) remove(name);
    },
    async [Symbol.asyncDispose]() {
      await this.dispose();
    },
  };
}
