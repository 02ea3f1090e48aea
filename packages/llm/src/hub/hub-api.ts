/**
 * The three questions that are asked of a Hugging Face hub: which files a repository has, where a file is, and what its
 * checksum is (https://huggingface.co/docs/hub/api).
 */
import { corrupt, type HubRequest, statusError } from './hub-errors.ts';
import { limitBody } from './hub-fetch.ts';
import type { HubFetch } from './transfer.ts';

export interface Hub {
  /** Without a slash at its end. */
  hubUrl: string;
  accessToken: string | undefined;
  fetch: HubFetch;
}

/** Where the contents of a file can be had. */
export interface FileLocation {
  url: string;
  /** Bytes. */
  size: number;
  etag: string;
}

/** The hub lists 1,000 files a page. */
const MAX_PAGES = 100;
/** Larger than any disk. */
const MAX_FILE_BYTES = 2 ** 46;
/** The hub answers with what it knows of a file that it keeps by its deduplicating storage, instead of leading there. */
const FILE_INFO = 'application/vnd.xet-fileinfo+json';

/** Paths of all files of a repository. Throws what `fetch` does, `hub-*` errors, and an Error for what is no listing. */
export async function listFiles(repo: string, hub: Hub, request: HubRequest): Promise<string[]> {
  const paths: string[] = [];
  let url: string | undefined = `${hub.hubUrl}/api/models/${repo}/tree/main?recursive=true&expand=false`;
  // Each page names the next, so that a listing may have no end.
  for (let pages = 0; url !== undefined; pages++) {
    if (pages === MAX_PAGES) throw new Error(`a listing of more than ${MAX_PAGES} pages`);
    const response = await askForJson(url, hub, request);
    for (const entry of await entriesOf(response)) {
      const { type, path } = entry as { type?: unknown; path?: unknown };
      if (type === 'file' && typeof path === 'string') paths.push(path);
    }
    url = /<(https?:\/\/[^>]+)>;\s*rel="next"/.exec(response.headers.get('link') ?? '')?.[1];
  }
  return paths;
}

/** Looks a file up without its contents. Throws as `listFiles` does. */
export async function locateFile(repo: string, path: string, hub: Hub, request: HubRequest): Promise<FileLocation> {
  const lookUp = `${hub.hubUrl}/${repo}/resolve/main/${path.split('/').map(encodeURIComponent).join('/')}`;
  const headers = { ...authorization(hub), Accept: `${FILE_INFO}, */*` };
  return locate(lookUp, hub.fetch, request, headers);
}

/** Looks up what lies at an address, without its contents: its size, and what tells this version from others. */
export async function locate(
  address: string,
  fetch: HubFetch,
  request: HubRequest,
  headers: Record<string, string> = {},
): Promise<FileLocation> {
  const response = await fetch(address, { headers: { ...headers, Range: 'bytes=0-0' } });
  // One byte was asked for, and none is needed: that of a server that sends more is not waited for.
  await response.body?.cancel();
  if (!response.ok) throw statusError(response.status, request);
  const found = (name: string) => response.headers.get(name) ?? '';
  const size = found('content-type').includes(FILE_INFO)
    ? found('x-linked-size')
    : (found('content-range').split('/')[1] ?? '');
  if (!/^\d+$/.test(size)) throw new Error(`a file of ${JSON.stringify(size)} bytes`);
  const byteLength = Number(size);
  if (byteLength === 0 || byteLength > MAX_FILE_BYTES) throw corrupt(request.what, `a size of ${size} bytes`);
  const etag = found('x-linked-etag') || found('etag') || found('last-modified');
  if (etag === '') throw new Error('a file without an ETag');
  return { url: isLasting(response, address) ? response.url : address, size: byteLength, etag };
}

/** SHA-256 of a large file, from its listing; undefined for small ones, and for mirrors without such a listing. */
export async function checksumOf(
  repo: string,
  path: string,
  hub: Hub,
  request: HubRequest,
): Promise<string | undefined> {
  const url = `${hub.hubUrl}/api/models/${repo}/paths-info/main`;
  const body = JSON.stringify({ paths: [path], expand: false });
  const response = await askForJson(url, hub, request, { method: 'POST', body }, [404, 405, 501]);
  if (!response.ok) return undefined;
  const entries = (await entriesOf(response)) as { path?: unknown; lfs?: { oid?: unknown } }[];
  const oid = entries.find((entry) => entry.path === path)?.lfs?.oid;
  return typeof oid === 'string' && /^[0-9a-f]{64}$/i.test(oid) ? oid : undefined;
}

/** Throws a `hub-*` error for every status of failure but those that are `allowed`. */
async function askForJson(
  url: string,
  hub: Hub,
  request: HubRequest,
  init: RequestInit = {},
  allowed: readonly number[] = [],
): Promise<Response> {
  const headers: Record<string, string> = { ...authorization(hub), Accept: 'application/json' };
  if (init.body !== undefined) headers['Content-Type'] = 'application/json';
  const response = await limitBody(hub.fetch)(url, { ...init, headers });
  if (response.ok) return response;
  await response.body?.cancel();
  if (allowed.includes(response.status)) return response;
  throw statusError(response.status, request);
}

async function entriesOf(response: Response): Promise<object[]> {
  const json: unknown = await response.json();
  if (!Array.isArray(json)) throw new Error('an answer that is no list');
  return json.filter((entry) => typeof entry === 'object' && entry !== null);
}

const authorization = ({ accessToken }: Hub): Record<string, string> =>
  accessToken === undefined ? {} : { Authorization: `Bearer ${accessToken}` };

/** Whether the address at the end of all redirects is one that lasts: those of other storage are signed, and end. */
const isLasting = ({ url }: Response, address: string): boolean =>
  url !== '' && new URL(url).origin === new URL(address).origin;
