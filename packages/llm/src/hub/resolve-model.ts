/** From what a caller calls a model to the path of its file, fetched from a hub or an address where need be. */
import { fetchAndKeep, findKept } from '#hub-transfer';
import { cacheStore, environment, siblingOf } from '#platform';
import { llmError } from '../errors.ts';
import { parsePartName } from '../gguf/index.ts';
import type { SourceLocation } from '../io/source.ts';
import { chooseFile } from './choose-file.ts';
import { checksumOf, type Hub, listFiles, locate, locateFile } from './hub-api.ts';
import { type HubRequest, hubError } from './hub-errors.ts';
import { createHubFetch } from './hub-fetch.ts';
import { isGgufPath, parseModelSpec } from './spec.ts';
import type { DownloadProgress, RemoteFile } from './transfer.ts';

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

/**
 * Where a model's file is: its path, or in a browser a File of its storage. A path is given back as it is;
 * `hf:OWNER/REPO/FILE.gguf` is fetched, once, to CACHE/hub/OWNER/REPO/FILE.gguf; for `hf:OWNER/REPO` a file is chosen
 * (Q4_0, Q4_1, Q8_0, Q4_K_M, F16: the first that is there), without a connection from those that are in the cache. With the
 * first file of a model that is split into several the others are fetched, too. What lies at an address (https://...) is
 * fetched to CACHE/urls/HOST/PATH. Delete a file to fetch it anew.
 *
 * Throws `invalid-argument`, `gguf-split`, `hub-file-not-found`, `hub-access-denied`, `hub-unreachable`, `hub-file-corrupt`,
 * `cache-folder-unwritable` or `aborted`.
 */
export async function resolveModel(spec: string, options: ResolveModelOptions = {}): Promise<SourceLocation> {
  const parsed = parseModelSpec(spec);
  if (parsed.kind === 'path') return parsed.path;
  if (parsed.kind === 'url') return resolveUrl(parsed.url, options);
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
  const hub: Hub = { hubUrl, accessToken, fetch };
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

async function resolveUrl(url: URL, { cacheFolder, signal, onProgress, backoffMs = 1000 }: ResolveModelOptions) {
  const name = nameOfUrl(url);
  const kept = await findKept(cacheFolder, name);
  if (kept !== undefined) return kept;
  const request: HubRequest = { what: url.href, hubUrl: url.origin, signal };
  const fetch = await createHubFetch({ hubUrl: url.origin, signal, backoffMs });
  try {
    const location = await locate(url.href, fetch, request);
    const remote: RemoteFile = { ...location, sha256: undefined, headers: {} };
    return await fetchAndKeep(remote, cacheFolder, name, { ...request, fetch, onProgress });
  } catch (error) {
    throw hubError(error, request);
  }
}

/** A name in the cache for what lies at an address, with its parts as folders; a query is part of the last. */
function nameOfUrl({ host, pathname, search }: URL): string {
  const parts = pathname.slice(1).split('/');
  const named = parts.map((part) => part.replaceAll('\\', '%5C') || '%');
  return `urls/${encodeURIComponent(host)}/${named.join('/')}${encodeURIComponent(search)}`;
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
  try {
    return (await listFiles(repo, hub, request)).filter(isGgufPath);
  } catch (error) {
    throw hubError(error, request);
  }
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
  try {
    const { url, size, etag } = await locateFile(repo, path, hub, request);
    // The token is for the hub alone, not for the storage that it may lead to.
    const trusted = new URL(url).origin === new URL(hub.hubUrl).origin;
    return {
      url,
      size,
      etag,
      sha256: /^"?([0-9a-f]{64})"?$/i.exec(etag)?.[1] ?? (await checksumOf(repo, path, hub, request)),
      headers: trusted && hub.accessToken !== undefined ? { Authorization: `Bearer ${hub.accessToken}` } : {},
    };
  } catch (error) {
    throw hubError(error, request);
  }
}
