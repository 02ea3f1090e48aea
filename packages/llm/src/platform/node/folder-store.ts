/** A store that is a folder. Links in it are not followed: what they lead to is not ours to read or to write. */
import { constants } from 'node:fs';
import { type FileHandle, lstat, lutimes, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { tryAcquireLock } from '../../file-lock.ts';
import {
  isTemporary,
  partsOf,
  type Store,
  type StoreEditor,
  type StoreEntry,
  TEMPORARY,
  unwritable,
} from '../../io/store.ts';
import { readFully, sourceOfHandle } from './path-source.ts';

const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;
/** Opening a pipe does not wait with it. */
const NO_WAIT = constants.O_NONBLOCK ?? 0;
/** Temporary files that are so old were left by a process that was killed. */
const ABANDONED_MS = 24 * 60 * 60 * 1000;

/** The files below a folder, which is made when something is written. */
export function createFolderStore(folder: string): Store {
  const pathOf = (name: string) => join(folder, ...partsOf(name));

  return {
    name: folder,
    persistent: true,
    async open(name) {
      const path = pathOf(name);
      try {
        const stats = await lstat(path);
        if (!stats.isFile()) return undefined;
        return await sourceOfHandle(path, await open(path, constants.O_RDONLY | NO_FOLLOW | NO_WAIT));
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    },
    async edit(name) {
      const path = pathOf(name);
      try {
        await makeFolder(folder, dirname(path));
        if (name.startsWith(`${TEMPORARY}/`)) await removeAbandoned(join(folder, TEMPORARY));
        const flags = constants.O_RDWR | constants.O_CREAT | NO_FOLLOW | NO_WAIT;
        return await editorOf(path, await open(path, flags, 0o644));
      } catch (error) {
        throw unwritable(path, error);
      }
    },
    async rename(from, to) {
      const [source, target] = [pathOf(from), pathOf(to)];
      try {
        await makeFolder(folder, dirname(target));
        // What is no file, such as a folder that somebody made, cannot be replaced by a rename.
        if ((await lstat(target).catch(() => undefined))?.isDirectory()) await rm(target, { recursive: true });
        await rename(source, target);
      } catch (error) {
        throw unwritable(target, error);
      }
    },
    async list(name) {
      const entries: StoreEntry[] = [];
      const start = name === undefined ? folder : pathOf(name);
      for (const entry of await readdir(start, { recursive: true, withFileTypes: true }).catch(emptyWhereMissing)) {
        if (!entry.isFile()) continue;
        const path = join(entry.parentPath, entry.name);
        const stats = await lstat(path).catch(() => undefined);
        if (stats === undefined) continue;
        const { size: byteLength, mtimeMs: modifiedMs } = stats;
        entries.push({ name: relative(folder, path).split(sep).join('/'), byteLength, modifiedMs });
      }
      return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    async remove(name) {
      const path = pathOf(name);
      await rm(path, { recursive: true, force: true }).catch((error) => {
        if (!isMissing(error)) throw unwritable(path, error);
      });
    },
    async touch(name, modifiedMs) {
      const time = new Date(modifiedMs);
      await lutimes(pathOf(name), time, time).catch(() => {});
    },
    async tryLock(name) {
      const path = pathOf(name);
      try {
        await makeFolder(folder, dirname(path));
        return await tryAcquireLock(path);
      } catch (error) {
        throw unwritable(path, error);
      }
    },
  };
}

/** Makes a folder below the store's. A file or a link in the place of one of ours is taken away. */
async function makeFolder(root: string, path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (path === root || (code !== 'EEXIST' && code !== 'ENOTDIR')) throw error;
    await makeFolder(root, dirname(path));
    if (!(await lstat(path).catch(() => undefined))?.isDirectory()) await rm(path, { force: true });
    await mkdir(path, { recursive: true });
  }
}

async function editorOf(path: string, file: FileHandle): Promise<StoreEditor> {
  const stats = await file.stat();
  if (!stats.isFile() || stats.nlink > 1) {
    await file.close();
    throw Object.assign(new Error(`not a file of its own: ${path}`), { code: 'EEXIST' });
  }
  let { size: byteLength } = stats;
  let closed = false;
  const close = async () => {
    if (closed) return;
    closed = true;
    await file.close();
  };
  const writing = async (work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      throw unwritable(path, error);
    }
  };
  return {
    get byteLength() {
      return byteLength;
    },
    read: (target, position) => readFully(file, target, position),
    write: (bytes, position) =>
      writing(async () => {
        for (let at = 0; at < bytes.length; ) {
          at += (await file.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
        }
        byteLength = Math.max(byteLength, position + bytes.length);
      }),
    truncate: (length) =>
      writing(async () => {
        await file.truncate(length);
        byteLength = length;
      }),
    flush: () => writing(() => file.sync()),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function removeAbandoned(folder: string): Promise<void> {
  for (const name of (await readdir(folder)).filter(isTemporary)) {
    const stats = await lstat(join(folder, name)).catch(() => undefined);
    if (stats !== undefined && Date.now() - stats.mtimeMs > ABANDONED_MS)
      await rm(join(folder, name), { recursive: true, force: true });
  }
}

function isMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP' || code === 'EMLINK';
}

function emptyWhereMissing(error: unknown): [] {
  if (isMissing(error)) return [];
  throw error;
}
