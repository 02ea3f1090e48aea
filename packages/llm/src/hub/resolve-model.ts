/**
 * From what a caller calls a model to the path of its file, fetched from the Hugging Face hub where need be.
 */

import { fetchAndKeep, findKept } from '#hub-transfer';
import { cacheStore, environment, siblingOf } from '#platform';
import { llmError } from '../errors.ts';
import { parsePartName } from '../gguf/index.ts';
import type { SourceLocation } from '../io/source.ts';
import { chooseFile } from './choose-file.ts';
import type { HubRequest } from './hub-errors.ts';
import { corrupt, hubError, hubStatus, notFound } from './hub-errors.ts';
import { createHubFetch, limitBody } from './hub-fetch.ts';
import { isGgufPath, parseModelSpec } from './spec.ts';
import type { DownloadProgress, HubFetch, RemoteFile } from './transfer.ts';

/** Where models are kept, and how a download is followed and aborted. */
export interface ResolveModelOptions {
  /** Default: the environment's KEYSIEVE_CACHE, else `keysieve` in the user's cache folder. */
  cacheFolder?: string | undefined;
  /** Aborts; what has been fetched is kept for the next time. */
  signal?: AbortSignal | undefined;
  /** Called as bytes come. */
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Default: the environment's HF_ENDPOINT, else https://huggingface.co. */
  hubUrl?: string | undefined;
  /** For private and gated repositories. Default: the environment's HF_TOKEN. */
  accessToken?: string | undefined;
  /**
   * Milliseconds before a request that the hub has put off (status 429 or 503) is tried again, where it does not say
   * when; each later try waits twice as long. Default: 1000.
   */
  backoffMs?: number | undefined;
}

/** The hub lists 1,000 files a page. */
const MAX_PAGES = 100;
/** Larger than any disk. */
const MAX_FILE_BYTES = 2 ** 46;

/**
 * Where a model's file is: its path, or in a browser a File of its storage. A path is given back as it is; `hf:OWNER/REPO/FILE.gguf` is fetched, once, to
 * CACHE/hub/OWNER/REPO/FILE.gguf; for `hf:OWNER/REPO` a file is chosen (Q4_0, Q4_1, Q8_0, Q4_K_M, F16: the first that
 * is there), without a connection from those that are in the cache. With the first file of a model that is split into
 * several the others are fetched, too. Delete a file to fetch it anew.
 *
 * Throws `invalid-argument`, `gguf-split`, `hub-file-not-found`, `hub-access-denied`, `hub-unreachable`, `hub-file-corrupt`,
 * `cache-folder-unwritable` or `aborted`.
 */
export async function resolveModel(spec: string, options: ResolveModelOptions = {}): Promise<SourceLocation> {
  const parsed = parseModelSpec(spec);
  if (parsed.kind === 'path') return parsed.path;
  const { repo } = parsed;
  const { hubUrl, accessToken } = hubOf(options);
  const { cacheFolder } = options;
  const nameOf = (file: string) => `hub/${repo}/${file}`;
  if (parsed.file !== undefined) {
    requireFirstPart(parsed.file);
    const kept = await findAllKept(cacheFolder, nameOf, parsed.file);
    if (kept !== undefined) return kept;
  }
  const fetch = await createHubFetch({ hubUrl, signal: options.signal, backoffMs: options.backoffMs ?? 1000 });
  const hub: Hub = { hubUrl, ...(accessToken !== undefined && { accessToken }), fetch };
  const requestFor = (what: string): HubRequest => ({ what, hubUrl, signal: options.signal });
  const file = parsed.file ?? (await chooseFrom(repo, cacheFolder, hub, requestFor(repo)));
  const chosen = parsed.file === undefined ? await findAllKept(cacheFolder, nameOf, file) : undefined;
  if (chosen !== undefined) return chosen;
  const missing: { part: string; remote: RemoteFile }[] = [];
  for (const part of partsOf(file)) {
    if ((await findKept(cacheFolder, nameOf(part))) !== undefined) continue;
    missing.push({ part, remote: await fetchFileInfo(repo, part, hub, requestFor(`${repo}/${part}`)) });
  }
  // Where parts cannot be opened by the first of them, opening that says so, and the others need not be fetched.
  const standsAlone = (location: SourceLocation) => siblingOf(location, file) === undefined;
  const first = await findKept(cacheFolder, nameOf(file));
  if (first !== undefined && standsAlone(first)) return first;
  const total = missing.reduce((sum, { remote }) => sum + remote.size, 0);
  let before = 0;
  for (const { part, remote } of missing) {
    const onProgress = ({ done }: DownloadProgress) => options.onProgress?.({ done: before + done, total });
    const request = { ...requestFor(`${repo}/${part}`), fetch, onProgress };
    const location = await fetchAndKeep(remote, cacheFolder, nameOf(part), request);
    before += remote.size;
    if (standsAlone(location)) return location;
  }
  return (await findKept(cacheFolder, nameOf(file))) as SourceLocation;
}

/** The files of a model by the first of them. */
const partsOf = (file: string): string[] => parsePartName(file)?.names ?? [file];

/** Where a model's first file is, if all of them are kept. */
async function findAllKept(
  cacheFolder: string | undefined,
  nameOf: (file: string) => string,
  file: string,
): Promise<SourceLocation | undefined> {
  const kept = await Promise.all(partsOf(file).map((part) => findKept(cacheFolder, nameOf(part))));
  return kept.includes(undefined) ? undefined : kept[0];
}

/** Throws `gguf-split` for a part that is not the first. */
function requireFirstPart(file: string): void {
  const part = parsePartName(file);
  if (part === undefined || part.number === 1) return;
  throw llmError({
    code: 'gguf-split',
    problem: `The model is split into ${part.count} GGUF files, and this is not the first of them by its name.`,
    found: file,
    remedy: `Give ${part.names[0]}: the others are fetched with it.`,
  });
}

/** Loaded only where a model of the hub is asked for: a page need not carry it. */
const hubLibrary = () => import('@huggingface/hub');

interface Hub {
  hubUrl: string;
  accessToken?: string;
  fetch: HubFetch;
}

/** The hub's address and the token for it. Throws `invalid-argument`. */
function hubOf(options: ResolveModelOptions): { hubUrl: string; accessToken: string | undefined } {
  const token = options.accessToken ?? environment('HF_TOKEN') ?? '';
  if (token !== '' && !token.startsWith('hf_')) {
    throw llmError({
      code: 'invalid-argument',
      problem: 'The access token is none of the hub.',
      found: `a token of ${token.length} characters`,
      remedy: 'Set HF_TOKEN to a token that begins with hf_, or to nothing.',
    });
  }
  const hubUrl = (options.hubUrl ?? (environment('HF_ENDPOINT') || 'https://huggingface.co')).replace(/\/+$/, '');
  if (!/^https?:$/.test(URL.canParse(hubUrl) ? new URL(hubUrl).protocol : '')) {
    throw llmError({
      code: 'invalid-argument',
      problem: "The hub's address is no URL.",
      found: JSON.stringify(hubUrl),
      remedy: 'Set HF_ENDPOINT to an address such as https://huggingface.co, or to nothing.',
    });
  }
  return { hubUrl, accessToken: token === '' ? undefined : token };
}

/** A file of the repository, or of those that are here already where the hub cannot be reached. */
async function chooseFrom(
  repo: string,
  cacheFolder: string | undefined,
  hub: Hub,
  request: HubRequest,
): Promise<string> {
  let paths: string[];
  try {
    paths = await listGgufFiles(repo, hub, request);
  } catch (error) {
    const cachedPaths =
      (error as { code?: unknown }).code === 'hub-unreachable' ? await keptFiles(repo, cacheFolder) : [];
    if (cachedPaths.length === 0) throw error;
    paths = cachedPaths;
  }
  return chooseFile(repo, paths);
}

async function listGgufFiles(repo: string, hub: Hub, request: HubRequest): Promise<string[]> {
  const paths: string[] = [];
  const { listFiles } = await hubLibrary();
  let pages = 0;
  // Each page names the next, so that a listing may have no end.
  const fetchPage: HubFetch = (url, init) => {
    if (++pages > MAX_PAGES) throw new Error(`a listing of more than ${MAX_PAGES} pages`);
    return hub.fetch(url, init);
  };
  try {
    for await (const entry of listFiles({ repo, recursive: true, ...hub, fetch: limitBody(fetchPage) })) {
      if (entry?.type === 'file' && typeof entry.path === 'string' && isGgufPath(entry.path)) paths.push(entry.path);
    }
  } catch (error) {
    throw hubError(error, request);
  }
  return paths;
}

/** Paths of the models of a repository that are kept, as the hub would name them. */
async function keptFiles(repo: string, cacheFolder: string | undefined): Promise<string[]> {
  try {
    const entries = await cacheStore(cacheFolder).list(`hub/${repo}`);
    return entries.map(({ name }) => name.slice(`hub/${repo}/`.length)).filter(isGgufPath);
  } catch {
    return [];
  }
}

async function fetchFileInfo(repo: string, path: string, hub: Hub, request: HubRequest): Promise<RemoteFile> {
  const encodedPath = path.split('/').map(encodeURIComponent).join('/');
  try {
    const { fileDownloadInfo } = await hubLibrary();
    const info = await fileDownloadInfo({ repo, path: encodedPath, ...hub, fetch: headersOnly(hub.fetch) });
    if (info === null) throw notFound(request);
    const { url, size, etag } = info;
    if (!(Number.isSafeInteger(size) && size > 0 && size <= MAX_FILE_BYTES)) {
      throw corrupt(request.what, `a size of ${size} bytes`);
    }
    // The token is for the hub alone, not for the storage that it may lead to.
    const trusted = new URL(url).origin === new URL(hub.hubUrl).origin;
    return {
      url,
      size,
      etag,
      sha256: /^"?([0-9a-f]{64})"?$/i.exec(etag)?.[1] ?? (await checksumOf(repo, path, hub)),
      headers: trusted && hub.accessToken !== undefined ? { Authorization: `Bearer ${hub.accessToken}` } : {},
    };
  } catch (error) {
    throw hubError(error, request);
  }
}

/** The look-up asks for one byte and needs none: the body of a server that sends more is not waited for. */
function headersOnly(fetch: HubFetch): typeof globalThis.fetch {
  return async (input, init) => {
    const response = await fetch(String(input), init);
    const size = /\/(.*)$/.exec(response.headers.get('content-range') ?? '')?.[1];
    if (size !== undefined && !/^\d+$/.test(size)) throw new Error(`a file of ${JSON.stringify(size)} bytes`);
    if (!response.ok) return response;
    await response.body?.cancel();
    const { status, statusText, headers } = response;
    return new Response(null, { status, statusText, headers });
  };
}

/** Large files have their SHA-256 in their listing; small ones, none, and mirrors may have no such listing. */
async function checksumOf(repo: string, path: string, hub: Hub): Promise<string | undefined> {
  try {
    const { pathsInfo } = await hubLibrary();
    const entries = await pathsInfo({ repo, paths: [path], ...hub, fetch: limitBody(hub.fetch) });
    const oid = entries.find((entry) => entry.path === path)?.lfs?.oid;
    return /^[0-9a-f]{64}$/i.test(oid ?? '') ? oid : undefined;
  } catch (error) {
    if ([404, 405, 501].includes(hubStatus(error) ?? 0)) return undefined;
    throw error;
  }
}
