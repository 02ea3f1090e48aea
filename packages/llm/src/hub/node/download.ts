/**
 * Fetches one file to a path, going on from what an earlier try has left: FILE.<version>.<try>.partial, whose name has
 * the file's ETag in it, so that a file that has changed on the hub begins anew. One download of a file runs at a time,
 * in this process and others, and each try writes to a name of its own. Only a file of the announced size and, where the
 * hub gives one, checksum gets its own name.
 */
import { createHash, randomBytes } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { acquireLock } from '../../file-lock.ts';
import { aborted, corrupt, hubError, unreachable, unwritable } from '../hub-errors.ts';
import { bodyOf, request } from '../request.ts';
import type { DownloadOptions, RemoteFile } from '../transfer.ts';

/** Leaves the file at `path`. Throws `hub-unreachable`, `hub-file-corrupt`, `cache-folder-unwritable` or `aborted`. */
export async function download(remote: RemoteFile, path: string, options: DownloadOptions): Promise<void> {
  await withWriteErrors(path, () => mkdir(dirname(path), { recursive: true }));
  await using _ = await lock(path, options);
  if (await isFile(path)) return;
  const partial = await withWriteErrors(path, () => claimPartial(path, versionOf(remote.etag)));
  const file = await withWriteErrors(partial, () => openPartial(partial));
  try {
    await fetchRest(remote, file, options);
    await withWriteErrors(partial, () => file.sync());
    await verify(remote, file, partial, options);
  } catch (error) {
    if ((error as { code?: unknown }).code === 'hub-file-corrupt') await rm(partial, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  await withWriteErrors(path, () => rename(partial, path));
}

/** Whether there is a file at a path, or at the end of a link there. */
export async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false;
}

async function lock(path: string, options: DownloadOptions): Promise<AsyncDisposable> {
  try {
    return await acquireLock(`${path}.lock`, options.signal);
  } catch (error) {
    throw options.signal?.aborted ? aborted(options.what, options.signal.reason) : unwritable(path, error);
  }
}

/** A name for a version that every file system takes. */
function versionOf(etag: string): string {
  return createHash('sha256').update(etag).digest('hex').slice(0, 16);
}

/**
 * The name of this try. It takes over the longest that earlier tries of this version have left, and deletes the others,
 * and links: what they lead to is not ours to write to. The caller holds the lock.
 */
async function claimPartial(path: string, version: string): Promise<string> {
  const folder = dirname(path);
  const partial = `${path}.${version}.${randomBytes(4).toString('hex')}.partial`;
  const tries: { name: string; size: number }[] = [];
  for (const name of await readdir(folder)) {
    const [, found] = /\.([0-9a-f]{16})(?:\.[0-9a-f]{8})?\.partial$/.exec(name) ?? [];
    if (found === undefined || !name.startsWith(`${basename(path)}.${found}`)) continue;
    const stats = await lstat(join(folder, name));
    const isOurs = found === version && stats.isFile() && stats.nlink === 1;
    if (isOurs) tries.push({ name, size: stats.size });
    else await rm(join(folder, name), { force: true });
  }
  const [longest, ...others] = tries.sort((a, b) => b.size - a.size);
  for (const { name } of others) await rm(join(folder, name), { force: true });
  if (longest !== undefined) await rename(join(folder, longest.name), partial);
  return partial;
}

/** Opens it for reading and writing, but not through a link. */
function openPartial(partial: string): Promise<FileHandle> {
  return open(partial, constants.O_RDWR | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0), 0o644);
}

async function fetchRest(remote: RemoteFile, file: FileHandle, options: DownloadOptions): Promise<void> {
  const { size: kept } = await file.stat();
  const rest = kept > 0 && kept <= remote.size ? await requestRest(remote, kept, options) : undefined;
  if (rest === 'complete') return options.onProgress?.({ done: kept, total: remote.size });
  const response = rest ?? (await requestWhole(remote, options));
  let done = rest === undefined ? 0 : kept;
  // What is there is given up only when there is something to put in its place.
  if (done === 0) await withWriteErrors(options.what, () => file.truncate(0));
  const report = () => options.onProgress?.({ done, total: remote.size });
  report();
  for await (const bytes of bodyOf(response, options)) {
    if (done + bytes.length > remote.size) throw corrupt(options.what, `more than its ${remote.size} bytes`);
    await withWriteErrors(options.what, () => writeFully(file, bytes, done));
    done += bytes.length;
    report();
  }
  if (done < remote.size) throw unreachable(`the end after ${done} of ${remote.size} bytes`, options);
}

async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += (await file.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
  }
}

/** The answer with what follows on `from`; undefined where the server gives no such answer, or has another version. */
async function requestRest(
  remote: RemoteFile,
  from: number,
  options: DownloadOptions,
): Promise<Response | 'complete' | undefined> {
  if (from === remote.size) return 'complete';
  const ifRange: Record<string, string> = remote.etag.startsWith('W/') ? {} : { 'If-Range': remote.etag };
  const response = await request(remote, { Range: `bytes=${from}-`, ...ifRange }, options);
  if (response.status === 206 && isRange(response, from, remote.size)) return response;
  await response.body?.cancel();
  return undefined;
}

/** The answer with the whole file. Throws `hub-unreachable` for a part of it, which nobody asked for. */
async function requestWhole(remote: RemoteFile, options: DownloadOptions): Promise<Response> {
  const response = await request(remote, {}, options);
  if (response.status !== 206 || isRange(response, 0, remote.size)) return response;
  await response.body?.cancel();
  throw unreachable('a part of the file, where the whole was asked for', options);
}

const isRange = ({ headers }: Response, from: number, size: number): boolean =>
  headers.get('content-range') === `bytes ${from}-${size - 1}/${size}`;

async function verify(
  { size, sha256 }: RemoteFile,
  file: FileHandle,
  partial: string,
  options: DownloadOptions,
): Promise<void> {
  const { size: written } = await file.stat();
  if (written !== size) throw corrupt(options.what, `${written} bytes, where ${size} were announced`);
  if (sha256 === undefined) return;
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(partial), hash, { signal: options.signal });
  } catch (error) {
    throw hubError(error, options);
  }
  const actualSha256 = hash.digest('hex');
  if (actualSha256 === sha256.toLowerCase()) return;
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
