/** Opens a prefix store as it was asked for. */
import { folderStore } from '#platform';
import { checkOptional, checkOptions } from '../arguments.ts';
import type { Store } from '../io/store.ts';
import { createPrefixFolder, createPrefixStore, type PrefixStore } from '../prefixes/index.ts';

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
  const store = typeof folder === 'string' ? folderStore(folder) : folder;
  return createPrefixStore(memoryLimit, store && createPrefixFolder(store, folderLimit, modelName));
}
