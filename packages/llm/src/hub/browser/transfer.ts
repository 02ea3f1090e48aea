/**
 * `#hub-transfer` in browsers: into the browser's own storage, range by range. NAME.partial has the bytes, and
 * NAME.journal.json says which version of the file they are of and how many of them are there; it is written after they are
 * safe, so that a page that was closed at any moment goes on behind the last whole range.
 */
import { cacheStore, createSha256 } from '#platform';
import { readJson, type Store, type StoreEditor, writeJson } from '../../io/store.ts';
import { aborted, corrupt, hubError, unreachable } from '../hub-errors.ts';
import { bodyOf, request } from '../request.ts';
import type { DownloadOptions, HubTransfer, RemoteFile } from '../transfer.ts';

/** What may have to be fetched twice. */
const RANGE_BYTES = 4 * 2 ** 20;

interface Journal {
  etag: string;
  size: number;
  /** Bytes from the beginning that are safe. */
  done: number;
}

/** Past the browser's own cache, which would keep the bytes once more. */
export const platformFetch: HubTransfer['platformFetch'] = async () => (url, init) =>
  globalThis.fetch(url, { ...init, cache: 'no-store' });

export const findKept: HubTransfer['findKept'] = async (cacheFolder, name) => {
  const file = await cacheStore(cacheFolder).open(name);
  return file?.blob;
};

export const fetchAndKeep: HubTransfer['fetchAndKeep'] = (remote, cacheFolder, name, options) =>
  // One page at a time: the others find the file when it is there.
  withLock(`keysieve ${cacheFolder ?? ''} ${name}`, options, async () => {
    const store = cacheStore(cacheFolder);
    const kept = await store.open(name);
    if (kept?.blob !== undefined) return kept.blob;
    await fetchRanges(store, remote, name, options);
    await store.rename(partialOf(name), name);
    await store.remove(journalOf(name));
    const file = await store.open(name);
    if (file?.blob === undefined) throw corrupt(options.what, 'nothing in its place');
    return file.blob;
  });

const partialOf = (name: string) => `${name}.partial`;
const journalOf = (name: string) => `${name}.journal.json`;

async function withLock<T>(name: string, { what, signal }: DownloadOptions, work: () => Promise<T>): Promise<T> {
  try {
    return await navigator.locks.request(name, signal === undefined ? {} : { signal }, work);
  } catch (error) {
    throw error instanceof DOMException && signal?.aborted ? aborted(what, signal.reason) : error;
  }
}

async function fetchRanges(store: Store, remote: RemoteFile, name: string, options: DownloadOptions): Promise<void> {
  const { etag, size } = remote;
  let done = doneOf(await readJson(store, journalOf(name)), remote);
  await using editor = await store.edit(partialOf(name));
  if (editor.byteLength < done) done = 0;
  await editor.truncate(done);
  const report = (bytes: number) => options.onProgress?.({ done: bytes, total: size });
  report(done);
  while (done < size) {
    if (options.signal?.aborted) throw aborted(options.what, options.signal.reason);
    const to = Math.min(size, done + RANGE_BYTES);
    await fetchRange(remote, editor, done, to, options, report);
    await editor.flush();
    done = to;
    const journal: Journal = { etag, size, done };
    await writeJson(store, journalOf(name), journal);
  }
  await verify(store, remote, editor, name, options);
}

/** How much of this version is safe: none of what belongs to another. */
function doneOf(json: unknown, { etag, size }: RemoteFile): number {
  const journal = (json ?? {}) as Partial<Journal>;
  if (journal.etag !== etag || journal.size !== size) return 0;
  return Number.isSafeInteger(journal.done) ? Math.min(size, Math.max(0, journal.done as number)) : 0;
}

async function fetchRange(
  remote: RemoteFile,
  editor: StoreEditor,
  from: number,
  to: number,
  options: DownloadOptions,
  report: (done: number) => void,
): Promise<void> {
  const response = await request(remote, { Range: `bytes=${from}-${to - 1}` }, options);
  let skipped = 0;
  if (response.status !== 206) {
    // A server that sends no ranges: what is there already is read past.
    if (response.status === 416) throw corrupt(options.what, 'fewer bytes than it announced');
    skipped = from;
  } else if (!startsAt(response, from)) {
    await response.body?.cancel();
    throw unreachable('another part of the file than was asked for', options);
  }
  let at = from - skipped;
  for await (const bytes of bodyOf(response, options)) {
    const start = Math.max(0, from - at);
    const end = Math.min(bytes.length, to - at);
    if (end > start) await editor.write(bytes.subarray(start, end), at + start);
    at += bytes.length;
    report(Math.max(from, Math.min(to, at)));
    if (at >= to) break;
  }
  if (at < to) throw unreachable(`the end after ${at} of ${remote.size} bytes`, options);
}

/** Whether an answer is the range from a position on. A server may keep from a page which one it is. */
function startsAt({ headers }: Response, from: number): boolean {
  const range = headers.get('content-range');
  return range === null || range.startsWith(`bytes ${from}-`);
}

async function verify(
  store: Store,
  { size, sha256 }: RemoteFile,
  editor: StoreEditor,
  name: string,
  options: DownloadOptions,
): Promise<void> {
  if (sha256 === undefined) return;
  const hash = createSha256();
  const buffer = new Uint8Array(RANGE_BYTES);
  for (let at = 0; at < size; at += buffer.length) {
    if (options.signal?.aborted) throw hubError(options.signal.reason, options);
    hash.update(buffer.subarray(0, await editor.read(buffer, at)));
  }
  const actual = hash.digest();
  if (actual === sha256.toLowerCase()) return;
  await editor.close();
  await store.remove(partialOf(name));
  await store.remove(journalOf(name));
  throw corrupt(options.what, `the SHA-256 ${actual}, where ${sha256} was announced`);
}
