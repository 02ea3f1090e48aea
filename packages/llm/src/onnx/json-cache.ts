/** Small findings that are kept in the cache folder: what cannot be read or written is found anew. */
import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { readRegularFile } from '../regular-file.ts';

const MAX_BYTES = 2 ** 20;

/** What the file holds; undefined where there is none, or it is no JSON. */
export async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse((await readRegularFile(path, { maxBytes: MAX_BYTES })).toString());
  } catch {
    return undefined;
  }
}

/** Keeps a finding, whole or not at all. Where the folder cannot be written it is lost. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  const temporaryPath = `${path}.${randomBytes(8).toString('hex')}`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(temporaryPath, JSON.stringify(value));
    await rename(temporaryPath, path);
  } catch {
    await rm(temporaryPath, { force: true }).catch(() => {});
  }
}
