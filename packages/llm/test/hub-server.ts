/**
 * Servers on 127.0.0.1 that answer as the Hugging Face hub and its storage do where models are listed and fetched,
 * and that can be told to go wrong.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HubFaults {
  /** Answers everything with this status. */
  status?: number;
  /** Gives out nothing without this token. */
  token?: string;
  /** Answers with a page in place of what was asked for. */
  page?: boolean;
  /** Names versions of files by something else than their checksum. */
  plainEtags?: boolean;
  /** Breaks the connection after this number of bytes of a content. */
  breakAfter?: number;
  /** Ends a content, as if it were whole, after this number of bytes. */
  endAfter?: number;
  /** Sends other bytes than announced. */
  corrupt?: boolean;
  /** Sends this number of bytes more than announced. */
  extra?: number;
  /** Sends whole files whatever range is asked for. */
  ignoreRanges?: boolean;
}

export interface HubServer extends AsyncDisposable {
  readonly url: string;
  /** Content by `OWNER/REPO/path`. */
  readonly files: Map<string, Uint8Array>;
  /** Requests for contents, in order: where, the range and the token. */
  readonly requests: { at: 'hub' | 'storage'; range: string | undefined; token: string | undefined }[];
  /** How it goes wrong; unset, it does not. */
  readonly faults: HubFaults;
  /** Answers requests for contents by sending the client to another server. */
  useStorage(): Promise<void>;
}

interface Reply {
  status: number;
  headers: Record<string, string>;
  body: Uint8Array | string;
  /** Bytes after which the connection breaks. */
  breakAfter?: number | undefined;
}

type State = Pick<HubServer, 'files' | 'requests' | 'faults'> & { storageUrl?: string };

export async function startHubServer(): Promise<HubServer> {
  const state: State = { files: new Map(), requests: [], faults: {} };
  const hub = await listen((request) => answerAsHub(state, request));
  const servers = [hub.server];
  return {
    ...state,
    url: hub.url,
    async useStorage() {
      const storage = await listen((request) => content(state, pathOf(request).slice(1), request, 'storage'));
      servers.push(storage.server);
      state.storageUrl = storage.url;
    },
    async [Symbol.asyncDispose]() {
      for (const server of servers.splice(0)) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
}

async function listen(answer: (request: IncomingMessage) => Reply): Promise<{ server: Server; url: string }> {
  const server = createServer((request, response) => {
    const { status, headers, body, breakAfter } = answer(request);
    response.writeHead(status, headers);
    if (breakAfter === undefined) response.end(body);
    else response.write(body.slice(0, breakAfter), () => setTimeout(() => response.destroy(), 20));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

const pathOf = (request: IncomingMessage) => decodeURIComponent(new URL(request.url ?? '/', 'http://host').pathname);
const tokenOf = (request: IncomingMessage) => request.headers.authorization?.replace('Bearer ', '');
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

function answerAsHub(state: State, request: IncomingMessage): Reply {
  const { faults, storageUrl } = state;
  if (faults.status !== undefined) return failure(faults.status, 'Something');
  if (faults.token !== undefined && tokenOf(request) !== faults.token) return failure(401, 'GatedRepo');
  if (faults.page) return { status: 200, headers: { 'Content-Type': 'text/html' }, body: '<html>Please log in</html>' };
  const path = pathOf(request);
  const [, repo, question] = /^\/api\/models\/([^/]+\/[^/]+)\/(tree|paths-info)\/main$/.exec(path) ?? [];
  if (repo !== undefined) return list(state, repo, question === 'tree');
  const [, owner, file] = /^\/([^/]+\/[^/]+)\/resolve\/main\/(.+)$/.exec(path) ?? [];
  if (owner === undefined) return failure(404, 'NotFound');
  const name = `${owner}/${file}`;
  if (!state.files.has(name)) return failure(404, 'EntryNotFound');
  if (storageUrl !== undefined) return { status: 302, headers: { Location: `${storageUrl}/${name}` }, body: '' };
  return content(state, name, request, 'hub');
}

function failure(status: number, code: string): Reply {
  const headers = { 'Content-Type': 'application/json', 'X-Error-Code': code };
  return { status, headers, body: JSON.stringify({ error: `${code}: not given out` }) };
}

/** The files of a repository: in a tree with its folders, or as asked for by path (here all that there are). */
function list({ files }: State, repo: string, asTree: boolean): Reply {
  const inRepo = [...files].filter(([path]) => path.startsWith(`${repo}/`));
  if (inRepo.length === 0) return failure(401, 'RepoNotFound');
  const entries = inRepo.map(([path, { length: size }]) => ({ type: 'file', path: path.slice(repo.length + 1), size }));
  const withChecksums = entries.map((entry, i) => {
    const bytes = inRepo[i]?.[1] as Uint8Array;
    return { ...entry, lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 130 } };
  });
  const folder = { type: 'directory', path: 'folder.gguf', size: 0 };
  const body = JSON.stringify(asTree ? [folder, ...entries] : withChecksums);
  return { status: 200, headers: { 'Content-Type': 'application/json' }, body };
}

function content(
  { files, requests, faults }: State,
  name: string,
  request: IncomingMessage,
  at: 'hub' | 'storage',
): Reply {
  const whole = files.get(name) as Uint8Array;
  const { range } = request.headers;
  const isMetadataRequest = range === 'bytes=0-0';
  if (!isMetadataRequest) requests.push({ at, range, token: tokenOf(request) });
  const ETag = faults.plainEtags ? `"${sha256(whole).slice(0, 32)}"` : `"${sha256(whole)}"`;
  const isPart = range !== undefined && (isMetadataRequest || !faults.ignoreRanges);
  const start = isPart ? Number(/^bytes=(\d+)-/.exec(range)?.[1]) : 0;
  const end = isMetadataRequest ? 1 : whole.length;
  const headers = isPart ? { ETag, 'Content-Range': `bytes ${start}-${end - 1}/${whole.length}` } : { ETag };
  const body = Buffer.from(whole.slice(start, end));
  if (isMetadataRequest) return { status: 206, headers, body };
  if (faults.corrupt) body[0] = (body[0] as number) ^ 1;
  const longer = Buffer.concat([body, Buffer.alloc(faults.extra ?? 0)]).subarray(0, faults.endAfter);
  return { status: isPart ? 206 : 200, headers, body: longer, breakAfter: faults.breakAfter };
}
