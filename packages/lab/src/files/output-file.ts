/** Files that are written at the end of long work: that they can be is found before it, and they are whole or not there. */
import { randomBytes } from 'node:crypto';
import { mkdir, open, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type LabError, labError } from '../errors.ts';

/**
 * Throws `output-unwritable` unless `writeOutput` can write a file at `path`. Folders that are missing will be made; now
 * nothing is.
 */
export async function checkOutput(path: string): Promise<void> {
  try {
    const target = await targetOf(path);
    if (target.isSpecial) return;
    if (target.mode !== undefined) await (await open(target.path, 'r+')).close();
    const probe = join(await existingFolder(dirname(target.path)), `.keysieve-${randomBytes(8).toString('hex')}`);
    await (await open(probe, 'wx')).close();
    await rm(probe, { force: true });
  } catch (error) {
    throw outputUnwritable(path, error);
  }
}

/**
 * Writes a file whole or not at all: beside its place, and renamed. What is no regular file, as a pipe, is written into;
 * the target of a link is replaced, not the link. Throws `output-unwritable`.
 */
export async function writeOutput(path: string, content: string | Uint8Array): Promise<void> {
  let temporaryPath: string | undefined;
  try {
    const target = await targetOf(path);
    if (target.isSpecial) return await writeFile(target.path, content);
    await mkdir(dirname(target.path), { recursive: true });
    temporaryPath = `${target.path}.${randomBytes(8).toString('hex')}.new`;
    const file = await open(temporaryPath, 'wx', target.mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporaryPath, target.path);
  } catch (error) {
    if (temporaryPath !== undefined) await rm(temporaryPath, { force: true }).catch(() => {});
    throw outputUnwritable(path, error);
  }
}

/** What a system's error says about a file that was to be written. */
export function outputUnwritable(path: string, cause: unknown): LabError {
  const { code, message } = cause as NodeJS.ErrnoException;
  return labError({
    code: 'output-unwritable',
    problem: `${path} cannot be written.`,
    found: code ?? message,
    remedy: 'Make room or give write access there, or name another file.',
    cause,
  });
}

interface Target {
  path: string;
  /** Permissions of the file that is there. */
  mode: number | undefined;
  isSpecial: boolean;
}

/** The file that a path leads to. */
async function targetOf(path: string): Promise<Target> {
  const stats = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' && path !== '') return undefined;
    throw error;
  });
  if (stats?.isDirectory() || /[\\/]$/.test(path)) throw Object.assign(new Error('a folder'), { code: 'EISDIR' });
  if (stats === undefined) return { path: resolve(path), mode: undefined, isSpecial: false };
  return { path: stats.isFile() ? await realpath(path) : path, mode: stats.mode, isSpecial: !stats.isFile() };
}

/** The nearest folder above that is there. */
async function existingFolder(folder: string): Promise<string> {
  try {
    await stat(folder);
    return folder;
  } catch (error) {
    const parent = dirname(folder);
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || parent === folder) throw error;
    return existingFolder(parent);
  }
}
