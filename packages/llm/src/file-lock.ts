/**
 * A lock between processes, as a file beside what it protects. Its holder touches it now and then, so that the lock of
 * a process that was killed is known by its age.
 */
import { randomBytes } from 'node:crypto';
import { type FileHandle, link, open, rename, rm, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Lock extends AsyncDisposable {
  release(): Promise<void>;
}

const TOUCH_MS = 2_000;
/** A lock that nobody has touched for so long belongs to nobody. */
const ABANDONED_MS = 15_000;
const POLL_MS = 50;

/**
 * Waits until the lock at `path` is free, and takes it. The file's folder must be there. Throws errors of the system,
 * and the signal's where that aborts.
 */
export async function acquireLock(path: string, signal?: AbortSignal): Promise<Lock> {
  for (;;) {
    const lock = await tryCreate(path);
    if (lock !== undefined) return lock;
    await removeAbandoned(path);
    await sleep(POLL_MS, undefined, { signal });
  }
}

/**
 * Takes the lock at `path`; undefined where a process that is alive holds it. To know that takes some seconds: as long
 * as such a process may leave its lock untouched, or as the lock of one that was killed stays.
 */
export async function acquireLockUnlessHeld(path: string, signal?: AbortSignal): Promise<Lock | undefined> {
  let touchedMs: number | undefined;
  for (;;) {
    const lock = await tryCreate(path);
    if (lock !== undefined) return lock;
    await removeAbandoned(path);
    const now = (await stat(path).catch(() => undefined))?.mtimeMs;
    if (touchedMs !== undefined && now !== undefined && now !== touchedMs) return undefined;
    touchedMs ??= now;
    await sleep(POLL_MS, undefined, { signal });
  }
}

/** Takes the lock at `path` where it is free, or its holder was killed some time ago; else undefined. */
export async function tryAcquireLock(path: string): Promise<Lock | undefined> {
  const lock = await tryCreate(path);
  if (lock !== undefined) return lock;
  await removeAbandoned(path);
  return tryCreate(path);
}

/** Makes the file, or leaves the one that is there. */
async function tryCreate(path: string): Promise<Lock | undefined> {
  try {
    return hold(path, await open(path, 'wx'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined;
    throw error;
  }
}

/** Touches the file by its handle, and removes it by its number: the path may be another's by then. */
function hold(path: string, file: FileHandle): Lock {
  const touching = setInterval(() => {
    const now = new Date();
    file.utimes(now, now).catch(() => {});
  }, TOUCH_MS).unref();
  let released = false;
  const release = async () => {
    if (released) return;
    released = true;
    clearInterval(touching);
    const held = await file.stat();
    await file.close();
    const found = await stat(path).catch(() => undefined);
    if (found?.ino === held.ino) await rm(path, { force: true });
  };
  return { release, [Symbol.asyncDispose]: release };
}

/** Moves it aside first, and back where another process has put its own in its place meanwhile. */
async function removeAbandoned(path: string): Promise<void> {
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined || Date.now() - stats.mtimeMs <= ABANDONED_MS) return;
  const aside = `${path}.${randomBytes(8).toString('hex')}`;
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  const moved = await stat(aside).catch(() => undefined);
  if (moved !== undefined && moved.ino !== stats.ino) await link(aside, path).catch(() => {});
  await rm(aside, { force: true });
}
