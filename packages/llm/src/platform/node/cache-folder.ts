/** Where prepared models are kept. */
import { constants } from 'node:fs';
import { access, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import envPaths from 'env-paths';
import { type Store, unwritable } from '../../io/store.ts';
import { printableLines } from '../../printable.ts';
import { createFolderStore } from './folder-store.ts';

/**
 * The folder for prepared models: `cacheFolder`, the environment's KEYSIEVE_CACHE, or `keysieve` in the user's cache
 * folder, in this order.
 */
export function cacheFolderPath(cacheFolder?: string): string {
  return resolve(cacheFolder ?? (process.env.KEYSIEVE_CACHE || envPaths('keysieve', { suffix: '' }).cache));
}

export interface CacheFolder {
  readonly path: string;
  readonly store: Store;
  /** Removes the folder where it was made for this process only. */
  release(): Promise<void>;
}

/**
 * Makes the cache folder where it is missing. Where the user's own cannot be written, the process gets a temporary
 * one and says so in a warning (`process.emitWarning`); where one was asked for, by option or environment, the error is
 * `cache-folder-unwritable`.
 */
export async function openCacheFolder(cacheFolder?: string): Promise<CacheFolder> {
  const path = cacheFolderPath(cacheFolder);
  try {
    await mkdir(path, { recursive: true });
    await access(path, constants.W_OK);
    return { path, store: createFolderStore(path), release: async () => {} };
  } catch (error) {
    if (cacheFolder !== undefined || process.env.KEYSIEVE_CACHE) throw unwritable(path, error);
    return openTemporaryFolder(path, error);
  }
}

async function openTemporaryFolder(unwritablePath: string, cause: unknown): Promise<CacheFolder> {
  try {
    const path = await mkdtemp(join(tmpdir(), 'keysieve-'));
    const message =
      `The cache folder ${unwritablePath} cannot be written (${reasonOf(cause)}). ` +
      `The model is prepared in ${path} and again at the next start; set KEYSIEVE_CACHE to a folder that can be written.`;
    process.emitWarning(printableLines(message), { type: 'KeysieveWarning', code: 'cache-folder-unwritable' });
    return { path, store: createFolderStore(path), release: () => rm(path, { recursive: true, force: true }) };
  } catch (error) {
    throw unwritable(unwritablePath, error);
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : String(error);
}
