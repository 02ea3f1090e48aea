/**
 * Fetches one file to a path, going on from what an earlier try has left: FILE.<version>.partial, whose name has the
 * file's ETag in it, so that a file that has changed on the hub begins anew. Only a file of the announced size and,
 * where the hub gives one, checksum gets its own name.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { HubRequest } from './hub-errors.ts';
import { corrupt, hubError, statusError, unreachable, unwritable } from './hub-errors.ts';

export interface RemoteFile {
  url: string;
  /** Bytes. */
  size: number;
  /** Names this version of the file. */
  etag: string;
  /** Of the content, in hexadecimal, where it is known. */
  sha256: string | undefined;
  headers: Record<string, string>;
}

export interface DownloadProgress {
  /** Bytes, those of earlier tries included. */
  done: number;
  total: number;
}

export interface DownloadOptions extends HubRequest {
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
}

/** Leaves the file at `path`. Throws `hub-unreachable`, `hub-file-corrupt`, `cache-folder-unwritable` or `aborted`. */
export async function download(remote: RemoteFile, path: string, options: DownloadOptions): Promise<void> {
  const partial = `${path}.${versionOf(remote.etag)}.partial`;
  await prepareFolder(path, partial);
  const file = await withWriteErrors(partial, () => open(partial, 'a'));
  try {
    await fetchRest(remote, file, partial, options);
  } finally {
    await file.close();
  }
  await verify(remote, partial, options);
  await withWriteErrors(path, () => rename(partial, path));
}

/** A name for a version that every file system takes. */
function versionOf(etag: string): string {
  return createHash('sha256').update(etag).digest('hex').slice(0, 16);
}

/** Makes the folder, and deletes what is left of other versions. */
async function prepareFolder(path: string, partial: string): Promise<void> {
  const folder = dirname(path);
  await withWriteErrors(folder, async () => {
    await mkdir(folder, { recursive: true });
    for (const name of await readdir(folder)) {
      const isPartial = name.startsWith(`${basename(path)}.`) && /\.[0-9a-f]{16}\.partial$/.test(name);
      if (isPartial && name !== basename(partial)) await rm(join(folder, name));
    }
  });
}

async function fetchRest(
  remote: RemoteFile,
  file: FileHandle,
  partial: string,
  options: DownloadOptions,
): Promise<void> {
  let { size: done } = await file.stat();
  if (done > remote.size) done = await restart(file, partial);
  const report = () => options.onProgress?.({ done, total: remote.size });
  report();
  if (done === remote.size) return;
  const response = await request(remote, done, options);
  if (done > 0 && !continues(response, done)) {
    done = await restart(file, partial);
  }
  for await (const bytes of bodyOf(response, options)) {
    if (done + bytes.length > remote.size) {
      await rm(partial, { force: true });
      throw corrupt(options.what, `more than its ${remote.size} bytes`);
    }
    await withWriteErrors(partial, () => file.appendFile(bytes));
    done += bytes.length;
    report();
  }
  if (done < remote.size) throw unreachable(`the end after ${done} of ${remote.size} bytes`, options);
}

async function restart(file: FileHandle, partial: string): Promise<0> {
  await withWriteErrors(partial, () => file.truncate(0));
  return 0;
}

async function request({ url, headers }: RemoteFile, from: number, options: DownloadOptions): Promise<Response> {
  const range: Record<string, string> = from > 0 ? { Range: `bytes=${from}-` } : {};
  const signal = options.signal ?? null;
  try {
    const response = await fetch(url, { headers: { ...headers, ...range }, signal });
    if (!response.ok) {
      await response.body?.cancel();
      throw statusError(response.status, options);
    }
    return response;
  } catch (error) {
    throw hubError(error, options);
  }
}

/** Whether the answer begins at the byte that was asked for; a server may send the whole file instead. */
function continues(response: Response, from: number): boolean {
  const range = response.headers.get('content-range') ?? '';
  return response.status === 206 && range.startsWith(`bytes ${from}-`);
}

async function* bodyOf(response: Response, options: DownloadOptions): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  try {
    for await (const bytes of response.body) yield bytes;
  } catch (error) {
    throw hubError(error, options);
  }
}

async function verify({ sha256 }: RemoteFile, partial: string, options: DownloadOptions): Promise<void> {
  if (sha256 === undefined) return;
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(partial), hash, { signal: options.signal });
  } catch (error) {
    throw hubError(error, options);
  }
  const actualSha256 = hash.digest('hex');
  if (actualSha256 === sha256.toLowerCase()) return;
  await rm(partial, { force: true });
  throw corrupt(options.what, `the SHA-256 ${actualSha256}, where ${sha256} was announced`);
}

/** Errors of the file system while something is written. */
async function withWriteErrors<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw unwritable(path, error);
  }
}
