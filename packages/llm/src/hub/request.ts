/** Asks for files of the hub, and sees that they are still those that were looked up. */
import { corrupt, hubError, statusError } from './hub-errors.ts';
import type { DownloadOptions, RemoteFile } from './transfer.ts';

/** The answer for a file, or a range of it. Throws `hub-unreachable`, `hub-file-corrupt`, `hub-access-denied` and `aborted`. */
export async function request(
  { url, headers, etag, sha256 }: RemoteFile,
  range: Record<string, string>,
  options: DownloadOptions,
): Promise<Response> {
  try {
    const response = await options.fetch(url, { headers: { ...headers, ...range } });
    // A range that cannot be had: the file is fetched from its beginning.
    if (response.status === 416 && 'Range' in range) return response;
    if (!response.ok) {
      await response.body?.cancel();
      throw statusError(response.status, options);
    }
    const found = response.headers.get('etag');
    if (sha256 === undefined && found !== null && strongTag(found) !== strongTag(etag)) {
      await response.body?.cancel();
      throw corrupt(options.what, 'another version than a moment ago');
    }
    return response;
  } catch (error) {
    throw hubError(error, options);
  }
}

/** A server may call a version weak in one answer and strong in another. */
const strongTag = (etag: string) => etag.replace(/^W\//, '');

/** The bytes of an answer, as they come. */
export async function* bodyOf(response: Response, options: DownloadOptions): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  try {
    for await (const bytes of response.body) yield bytes;
  } catch (error) {
    throw hubError(error, options);
  }
}
