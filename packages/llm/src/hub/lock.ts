/**
 * A lock between processes, as a file beside what it protects. Its holder touches it now and then, so that the lock of
 * a process that was killed is known by its age.
 */
import { open, rm, stat, utimes } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Lock extends AsyncDisposable {
  release(): Promise<void>;
}

const TOUCH_MS = 2_000;
/** A lock that nobody has touched for so long belongs to nobody. */
const ABANDONED_MS = 15_000;
const POLL_MS = 100;

/**
 * Waits until the lock at `path` is free, and takes it. The file's folder must be there. Throws errors of the system,
 * and the signal's where that aborts.
 */
export async function acquireLock(path: string, signal?: AbortSignal): Promise<Lock> {
  while (!(await tryCreate(path))) {
    await removeAbandoned(path);
    await sleep(POLL_MS, undefined, { signal });
  }
  const touching = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {});
  }, TOUCH_MS).unref();
  let released = false;
  const release = async () => {
    if (released) return;
    released = true;
    clearInterval(touching);
    await rm(path, { force: true });
  };
  return { release, [Symbol.asyncDispose]: release };
}

async function tryCreate(path: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function removeAbandoned(path: string): Promise<void> {
  const stats = await stat(path).catch(() => undefined);
  if (stats !== undefined && Date.now() - stats.mtimeMs > ABANDONED_MS) await rm(path, { force: true });
}
