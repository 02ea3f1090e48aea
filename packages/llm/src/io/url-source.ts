/** Ranges of what lies at a URL (RFC 9110, section 14), for servers that answer them. */
import { type ByteSource, SourceError } from './source.ts';

/** Fetches, as the platform does. */
export type Fetch = (url: URL, init: RequestInit) => Promise<Response>;

/** Throws `SourceError` where there is nothing, or the server does not answer requests for ranges. */
export async function openUrl(url: URL, fetch: Fetch = globalThis.fetch): Promise<ByteSource> {
  const name = url.href;
  let closed = false;
  const close = async () => {
    closed = true;
  };

  async function request(from: number, to: number): Promise<Response> {
    if (closed) throw new SourceError('closed', name, 'a source that was closed');
    let response: Response;
    try {
      response = await fetch(url, { headers: { Range: `bytes=${from}-${to - 1}` } });
    } catch (cause) {
      throw new SourceError('unreadable', name, cause instanceof Error ? cause.message : String(cause), cause);
    }
    if (response.status === 206 || response.status === 416) return response;
    await response.body?.cancel();
    if (response.status === 404 || response.status === 410) {
      throw new SourceError('not-found', name, `status ${response.status}`);
    }
    const found = response.ok ? 'a server that does not send ranges of it' : `status ${response.status}`;
    throw new SourceError('unreadable', name, found);
  }

  const first = await request(0, 1);
  await first.body?.cancel();
  const byteLength = sizeOf(first);
  if (byteLength === undefined) throw new SourceError('unreadable', name, 'a server that does not tell its size');
  const etag = first.headers.get('etag');

  return {
    name,
    byteLength,
    modifiedMs: Date.parse(first.headers.get('last-modified') ?? '') || 0,
    async read(target, position) {
      const end = Math.min(position + target.length, byteLength);
      if (end <= position) return 0;
      const response = await request(position, end);
      if (sizeOf(response) !== byteLength || response.headers.get('etag') !== etag) {
        await response.body?.cancel();
        throw new SourceError('unreadable', name, 'another version than when it was opened');
      }
      try {
        const bytes = new Uint8Array(await response.arrayBuffer());
        if (bytes.length > end - position)
          throw new Error(`${bytes.length} bytes where ${end - position} were asked for`);
        target.set(bytes);
        return bytes.length;
      } catch (cause) {
        throw new SourceError('unreadable', name, cause instanceof Error ? cause.message : String(cause), cause);
      }
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** The whole size, from `Content-Range: bytes 0-0/SIZE`, or `bytes *\/0` of an empty file. */
function sizeOf({ headers }: Response): number | undefined {
  const size = /^bytes (?:\d+-\d+|\*)\/(\d+)$/.exec(headers.get('content-range') ?? '')?.[1];
  return size === undefined ? undefined : Number(size);
}
