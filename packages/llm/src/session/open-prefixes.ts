/** Opens a prefix store as it was asked for. */
import { folderStore } from '#platform';
import { checkArgument, checkOptional, checkOptions } from '../arguments.ts';
import type { Store } from '../io/store.ts';
import {
  createPrefixFolder,
  createPrefixStore,
  listPrefixes,
  type PrefixStore,
  prunePrefixes,
  type StoredPrefixes,
} from '../prefixes/index.ts';

export interface PrefixOptions {
  /** Bytes of pages that are kept in memory, those that sessions read included. Default: 1 GiB. */
  memoryLimit?: number | undefined;
  /** A folder, or a store, where pages are written too, and found by later runs and other processes. Default: none. */
  folder?: string | Store | undefined;
  /** Bytes of all pages in the folder, of all models: those used longest ago make room. Default: 8 GiB. */
  folderLimit?: number | undefined;
}

const DEFAULT_MEMORY_LIMIT = 2 ** 30;
export const DEFAULT_FOLDER_LIMIT = 8 * 2 ** 30;

/** Throws `invalid-argument`. */
export function openPrefixes(modelName: string, options: PrefixOptions): PrefixStore {
  checkOptions('The options of prefixes', options);
  const { memoryLimit = DEFAULT_MEMORY_LIMIT, folder, folderLimit = DEFAULT_FOLDER_LIMIT } = options;
  const isLimit = (bytes: unknown) => typeof bytes === 'number' && bytes >= 0;
  checkOptional('memoryLimit', memoryLimit, isLimit, 'a number of bytes');
  checkOptional('folderLimit', folderLimit, isLimit, 'a number of bytes');
  const isFolder = (value: unknown) => isFolderPath(value) || (typeof value === 'object' && value !== null);
  checkOptional('folder', folder, isFolder, 'the path of a folder, or a store');
  const store = typeof folder === 'string' ? folderStore(folder) : folder;
  return createPrefixStore(memoryLimit, store && createPrefixFolder(store, folderLimit, modelName));
}

const isFolderPath = (path: unknown) => typeof path === 'string' && path !== '' && !path.includes('\0');

/** What is kept of prompts in a folder, of all models. */
export interface PrefixFolderContents {
  /** By models and settings; those used last first. */
  list(): Promise<StoredPrefixes[]>;
  /** Removes what was used longest ago until at most `limit` bytes are left. Returns the bytes that are. */
  prune(limit: number): Promise<number>;
}

/** Throws `invalid-argument`. */
export function openFolder(path: string): PrefixFolderContents {
  checkArgument('The folder of prefixes', path, isFolderPath(path), 'the path of a folder');
  const store = folderStore(path);
  return { list: () => listPrefixes(store), prune: (limit) => prunePrefixes(store, limit) };
}
