/**
 * From what a caller calls a model to the path of its file, fetched from the Hugging Face hub where need be.
 */
import { access, readdir } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { fileDownloadInfo, listFiles, pathsInfo } from '@huggingface/hub';
import { llmError } from '../errors.ts';
import { cacheFolderPath } from '../onnx/cache-folder.ts';
import { chooseFile } from './choose-file.ts';
import type { DownloadProgress, RemoteFile } from './download.ts';
import { download } from './download.ts';
import type { HubRequest } from './hub-errors.ts';
import { hubError, notFound } from './hub-errors.ts';
import { isGgufPath, parseModelSpec } from './spec.ts';

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
}

/**
 * The path of a model's file. A path is given back as it is; `hf:OWNER/REPO/FILE.gguf` is fetched, once, to
 * CACHE/hub/OWNER/REPO/FILE.gguf; for `hf:OWNER/REPO` a file is chosen (Q4_0, Q4_1, Q8_0, Q4_K_M, F16: the first that
 * is there), without a connection from those that are in the cache. Delete a file to fetch it anew.
 *
 * Throws `invalid-argument`, `hub-file-not-found`, `hub-access-denied`, `hub-unreachable`, `hub-file-corrupt`,
 * `cache-folder-unwritable` or `aborted`.
 */
export async function resolveModel(spec: string, options: ResolveModelOptions = {}): Promise<string> {
  const parsed = parseModelSpec(spec);
  if (parsed.kind === 'path') return parsed.path;
  const { repo } = parsed;
  const hub = hubOf(options);
  const folder = join(cacheFolderPath(options.cacheFolder), 'hub', ...repo.split('/'));
  const requestFor = (what: string): HubRequest => ({ what, hubUrl: hub.hubUrl, signal: options.signal });
  const file = parsed.file ?? (await chooseFrom(repo, folder, hub, requestFor(repo)));
  const path = join(folder, ...file.split('/'));
  if (await exists(path)) return path;
  const fileRequest = requestFor(`${repo}/${file}`);
  const remote = await fetchFileInfo(repo, file, hub, fileRequest);
  await download(remote, path, { ...fileRequest, onProgress: options.onProgress });
  return path;
}

interface Hub {
  hubUrl: string;
  accessToken?: string;
  fetch: typeof fetch;
}

function hubOf({ hubUrl, accessToken, signal }: ResolveModelOptions): Hub {
  const token = accessToken ?? process.env.HF_TOKEN ?? '';
  if (token !== '' && !token.startsWith('hf_')) {
    throw llmError({
      code: 'invalid-argument',
      problem: 'The access token is none of the hub.',
      found: `a token of ${token.length} characters`,
      remedy: 'Set HF_TOKEN to a token that begins with hf_, or to nothing.',
    });
  }
  return {
    hubUrl: (hubUrl ?? (process.env.HF_ENDPOINT || 'https://huggingface.co')).replace(/\/+$/, ''),
    ...(token === '' ? {} : { accessToken: token }),
    fetch: (input, init) => fetch(input, { ...init, signal: signal ?? null }),
  };
}

/** A file of the repository, or of those that are here already where the hub cannot be reached. */
async function chooseFrom(repo: string, folder: string, hub: Hub, request: HubRequest): Promise<string> {
  let paths: string[];
  try {
    paths = await listGgufFiles(repo, hub, request);
  } catch (error) {
    const cachedPaths = (error as { code?: unknown }).code === 'hub-unreachable' ? await filesIn(folder) : [];
    if (cachedPaths.length === 0) throw error;
    paths = cachedPaths;
  }
  return chooseFile(repo, paths);
}

async function listGgufFiles(repo: string, hub: Hub, request: HubRequest): Promise<string[]> {
  const paths: string[] = [];
  try {
    for await (const { type, path } of listFiles({ repo, recursive: true, ...hub })) {
      if (type === 'file' && isGgufPath(path)) paths.push(path);
    }
  } catch (error) {
    throw hubError(error, request);
  }
  return paths;
}

/** Paths of the models in a folder of the cache, as the hub would name them. */
async function filesIn(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile() && isGgufPath(entry.name));
    return files.map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'));
  } catch {
    return [];
  }
}

async function fetchFileInfo(repo: string, path: string, hub: Hub, request: HubRequest): Promise<RemoteFile> {
  try {
    const info = await fileDownloadInfo({ repo, path, ...hub });
    if (info === null) throw notFound(request);
    const { url, size, etag } = info;
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

/** Large files have their SHA-256 in their listing; small ones, none. */
async function checksumOf(repo: string, path: string, hub: Hub): Promise<string | undefined> {
  const entries = await pathsInfo({ repo, paths: [path], ...hub });
  return entries.find((entry) => entry.path === path)?.lfs?.oid;
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
