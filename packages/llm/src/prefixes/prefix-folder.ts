/**
 * The pages of a prefix store in files, one page a file of the format of docs/snapshots.md, by the names of their
 * prefixes. Any number of processes may use one folder: a file is there whole or not at all, what it holds depends on its
 * name alone, so that it does not matter who wrote it, reading takes no lock, and one process at a time makes room.
 */

import { KeysieveError, PAGE_KEYS } from 'keysieve';
import { type AttentionEngine, copyPage, releasePage, retainPage, type SharedPage } from 'keysieve/engine';
import { warn } from '#platform';
import { SourceError } from '../io/source.ts';
import { type Store, type StoreEntry, writeFile } from '../io/store.ts';
import { type PageRecord, RECORD_TOKENS_END, recordTokens, type SnapshotHeader } from '../snapshot/format.ts';
import { type CacheSettings, rootOf } from '../snapshot/settings.ts';
import { readSnapshot, writeSnapshot } from '../snapshot/snapshot-file.ts';

/** A page that is to be written. */
export interface PageToWrite {
  name: string;
  before: string;
  /** Its number in the prompt. */
  page: number;
  tokens: Uint32Array;
  held: SharedPage;
  headErrors: Float64Array | undefined;
  /** Where it is held. */
  engine: AttentionEngine;
}

export interface PrefixFolder {
  /**
   * Writes pages in their order, when those that were given before are written. Resolves to how many are there: where one
   * cannot be written, as on a full disk, it warns and leaves out that one and those behind it. It does not reject.
   */
  write(settings: CacheSettings, pages: readonly PageToWrite[]): Promise<number>;
  /** The page of that name; undefined where it is not there, or damaged: then it is removed. */
  read(settings: CacheSettings, name: string, before: string): Promise<PageRecord | undefined>;
  /** The tokens of some pages that follow on a prefix. */
  following(root: string, before: string): Promise<Uint32Array[]>;
  /** Notes that the pages of a prompt were used, from the first on. */
  touch(root: string, names: readonly string[]): void;
  /** Resolves when everything is written. */
  flush(): Promise<void>;
}

/** Folder of all prefixes in a store. */
export const PREFIX_FOLDER = 'prefixes';
const LOCK = `${PREFIX_FOLDER}/lock`;
const EXTENSION = '.page';
/** Pages that are looked at to say where a prompt departs. */
const MAX_FOLLOWING = 4;
/** Share of the limit that is left after making room, so that it need not be made for every page. */
const ROOM = 0.9;
/** Share of the limit that a process writes before it counts again, since others write too. */
const UNCOUNTED = 1 / 16;

/** `limit`: bytes of all pages in the store, of all models together. */
export function createPrefixFolder(store: Store, limit: number, modelName: string): PrefixFolder {
  let writing: Promise<unknown> = Promise.resolve();
  /** Bytes that this process may write before it counts what is there. */
  let allowance = 0;
  /** Whether the last page could not be written: said once, until one can be. */
  let failing = false;
  /** What was there when it was first asked what follows on a prefix. */
  let listing: Promise<StoreEntry[]> | undefined;

  async function write(settings: CacheSettings, { name, before, page, tokens, held, headErrors }: PageToWrite) {
    const path = pathOf(rootOf(settings), before, name);
    if (await isThere(path)) return;
    const header: SnapshotHeader = {
      settings,
      modelName,
      firstPage: page,
      prefix: before,
      keys: PAGE_KEYS,
      compact: false,
    };
    let bytes = 0;
    await writeFile(store, path, async (editor) => {
      await writeSnapshot(editor, header, () => ({ tokens, page: copyPage(held), headErrors }));
      bytes = editor.byteLength;
    });
    await store.touch(path, timeOf(page));
    allowance -= bytes;
    if (allowance < 0) allowance = Math.min(UNCOUNTED * limit, limit - (await makeRoom()));
  }

  /** Writes pages that it holds, lets go of them all, and returns how many are there. */
  async function writeAll(settings: CacheSettings, pages: readonly PageToWrite[]): Promise<number> {
    let written = 0;
    try {
      for (const page of pages) {
        await write(settings, page);
        written++;
        failing = false;
      }
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      const message = 'What prompts begin with cannot be kept between runs now. The next answer tries again.';
      if (!failing) warn(message, { code: 'prefixes-unwritable', detail });
      failing = true;
    }
    for (const { engine, held } of pages) {
      releasePage(held);
      await engine.release();
    }
    return written;
  }

  async function isThere(path: string): Promise<boolean> {
    await using file = await store.open(path);
    return file !== undefined;
  }

  /** Removes the pages that were used longest ago, where no other process does. Returns the bytes that are left at most. */
  async function makeRoom(): Promise<number> {
    await using lock = await store.tryLock(LOCK);
    return lock === undefined ? ROOM * limit : prunePrefixes(store, limit, ROOM * limit);
  }

  return {
    write(settings, pages) {
      for (const { engine, held } of pages) {
        engine.retain();
        retainPage(held);
      }
      const written = writing.then(() => writeAll(settings, pages));
      writing = written;
      return written;
    },
    async read(settings, name, before) {
      const path = pathOf(rootOf(settings), before, name);
      try {
        // What cannot be opened now may be whole, and readable the next time.
        await using file = await store.open(path).catch(() => undefined);
        if (file === undefined) return undefined;
        const reader = await readSnapshot(file);
        if (JSON.stringify(reader.header.settings) === JSON.stringify(settings)) {
          for await (const record of reader.records()) return record;
        }
      } catch (error) {
        if (!(error instanceof KeysieveError) && !(error instanceof SourceError)) throw error;
      }
      await store.remove(path).catch(() => {});
      return undefined;
    },
    async following(root, before) {
      const found: Uint32Array[] = [];
      const prefix = `${folderOf(root)}/${before}-`;
      listing ??= store.list(folderOf(root));
      for (const { name } of await listing) {
        if (!name.startsWith(prefix) || found.length === MAX_FOLLOWING) continue;
        const tokens = await readTokens(store, name).catch(() => undefined);
        if (tokens !== undefined) found.push(tokens);
      }
      return found;
    },
    touch(root, names) {
      for (const [page, name] of names.entries()) {
        void store.touch(pathOf(root, page === 0 ? root : (names[page - 1] as string), name), timeOf(page));
      }
    },
    async flush() {
      await writing;
    },
  };
}

/** When a page counts as used that is used now: those further on in a prompt are given up before those that they need. */
const timeOf = (page: number): number => Date.now() - 1000 * page;

const folderOf = (root: string) => `${PREFIX_FOLDER}/${root}`;
const pathOf = (root: string, before: string, name: string) => `${folderOf(root)}/${before}-${name}${EXTENSION}`;

/** The tokens of the page in a file, which are good enough to be shown, whatever became of the rest of it. */
async function readTokens(store: Store, path: string): Promise<Uint32Array | undefined> {
  await using file = await store.open(path);
  if (file === undefined) return undefined;
  const { recordsFrom } = await readSnapshot(file);
  const bytes = new Uint8Array(RECORD_TOKENS_END);
  return (await file.read(bytes, recordsFrom)) === bytes.length ? recordTokens(bytes) : undefined;
}

/** Pages of prompts in a store, with the same settings. */
export interface StoredPrefixes {
  /** Name of the empty prefix with these settings. */
  root: string;
  modelName: string;
  settings: CacheSettings | undefined;
  pages: number;
  bytes: number;
  /** When one of them was last used, in milliseconds since 1970. */
  usedMs: number;
}

/** What is kept in a store, by settings; those used last first. */
export async function listPrefixes(store: Store): Promise<StoredPrefixes[]> {
  const groups = new Map<string, StoredPrefixes>();
  for (const { name, byteLength, modifiedMs } of await store.list(PREFIX_FOLDER)) {
    const root = name.split('/')[1] as string;
    if (!name.endsWith(EXTENSION)) continue;
    const group = groups.get(root) ?? { root, modelName: '', settings: undefined, pages: 0, bytes: 0, usedMs: 0 };
    group.pages++;
    group.bytes += byteLength;
    group.usedMs = Math.max(group.usedMs, modifiedMs);
    if (group.settings === undefined) Object.assign(group, await headerOf(store, name));
    groups.set(root, group);
  }
  return [...groups.values()].sort((a, b) => b.usedMs - a.usedMs);
}

async function headerOf(store: Store, name: string): Promise<Partial<StoredPrefixes>> {
  try {
    await using file = await store.open(name);
    if (file === undefined) return {};
    const { header } = await readSnapshot(file);
    return { modelName: header.modelName, settings: header.settings };
  } catch {
    return {};
  }
}

/**
 * Removes the pages that were used longest ago until there are at most `target` bytes, where there are more than `limit`.
 * Returns the bytes that are left.
 */
export async function prunePrefixes(store: Store, limit: number, target = limit): Promise<number> {
  const files = (await store.list(PREFIX_FOLDER)).filter(({ name }) => name.endsWith(EXTENSION));
  let bytes = files.reduce((sum, { byteLength }) => sum + byteLength, 0);
  if (bytes <= limit) return bytes;
  for (const { name, byteLength } of files.sort((a, b) => a.modifiedMs - b.modifiedMs)) {
    if (bytes <= target) break;
    await store.remove(name);
    bytes -= byteLength;
  }
  return bytes;
}
