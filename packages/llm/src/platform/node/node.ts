/** `#platform` in Node. */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { lstat, readdir, realpath, rm } from 'node:fs/promises';
import { cpus } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openBlob } from '../../io/blob-source.ts';
import type { SourceLocation } from '../../io/source.ts';
import { unwritable } from '../../io/store.ts';
import { openUrl } from '../../io/url-source.ts';
import { printableLines } from '../../printable.ts';
import type { Platform, Sha256 } from '../platform.ts';
import { cacheFolderPath, openCacheFolder } from './cache-folder.ts';
import { createFolderStore } from './folder-store.ts';
import { openPath } from './path-source.ts';

export { usableProcessors, watchProcessors } from './processors.ts';
export { runTemplate } from './template-process.ts';
export { withTimeLimit } from './time-limit.ts';
export { loadXGrammar } from './xgrammar.ts';

export const openSource: Platform['openSource'] = async (location) => {
  if (typeof location === 'string') return openPath(location);
  if (location instanceof URL)
    return location.protocol === 'file:' ? openPath(fileURLToPath(location)) : openUrl(location);
  return openBlob(location);
};

export function siblingOf(location: SourceLocation, name: string): SourceLocation | undefined {
  if (typeof location === 'string') return join(dirname(location), name);
  return location instanceof URL ? new URL(encodeURIComponent(name), location) : undefined;
}

/** In the package, or in the repository. */
const NANO_PATHS = ['../models/nano.gguf', '../../../../../models/nano/nano.gguf'];

export function nanoLocation(): SourceLocation {
  const paths = NANO_PATHS.map((path) => fileURLToPath(new URL(path, import.meta.url)));
  return paths.find((path) => existsSync(path)) ?? (paths[0] as string);
}

export const cacheStore: Platform['cacheStore'] = (cacheFolder) => createFolderStore(cacheFolderPath(cacheFolder));
export const folderStore: Platform['folderStore'] = (path) => createFolderStore(resolve(path));

/** Files that were not finished are taken away when nobody has written to them for so long. */
const UNFINISHED_MS = 60_000;

export const fileTarget: Platform['fileTarget'] = async (path) => {
  const file = await realpath(path).catch(() => resolve(path));
  const stats = await lstat(file).catch(() => undefined);
  // What is no file, such as a folder or a device, is not ours to replace.
  if (/[\\/]$/.test(path) || (stats !== undefined && !stats.isFile() && !stats.isSymbolicLink())) {
    throw unwritable(path, new Error('a folder, pipe or device'));
  }
  const [folder, name] = [dirname(file), basename(file)];
  const isUnfinished = (each: string) => each.startsWith(`.${name}.`) && each.endsWith('.part');
  for (const each of (await readdir(folder).catch(() => [])).filter(isUnfinished)) {
    const stats = await lstat(join(folder, each)).catch(() => undefined);
    if (stats?.isFile() && Date.now() - stats.mtimeMs > UNFINISHED_MS) await rm(join(folder, each), { force: true });
  }
  return { store: createFolderStore(folder), name, temporary: `.${name}.${randomBytes(6).toString('hex')}.part` };
};

export const weightsStore = cacheStore;
export const openWeightsStore: Platform['openWeightsStore'] = openCacheFolder;

export function createSha256(): Sha256 {
  const hash = createHash('sha256');
  return {
    update: (part) => {
      hash.update(part);
    },
    digest: () => hash.digest('hex'),
  };
}

export const DEFAULT_PRECISION: Platform['DEFAULT_PRECISION'] = undefined;

export const machine = () => [cpus()[0]?.model, cpus().length, process.version];

export const environment = (name: string): string | undefined => process.env[name];

export const warn: Platform['warn'] = (message, { code, detail }) =>
  process.emitWarning(printableLines(message), {
    type: 'KeysieveWarning',
    code,
    ...(detail !== undefined && { detail: printableLines(detail) }),
  });

export const printTrace = (text: string): void => {
  process.stderr.write(text);
};
