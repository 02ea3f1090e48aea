import { createHash, randomBytes } from 'node:crypto';
import { link, lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { resolveModel } from './resolve-model.ts';

const CONTENT = randomBytes(300_000);
const SPEC = 'hf:a/b/m.gguf';
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const ETAG = `"${sha256(CONTENT)}"`;

type Answer = (request: IncomingMessage, response: ServerResponse) => unknown;

let servers: Server[] = [];
let cacheFolder: string;
let folder: string;
let path: string;
beforeEach(async () => {
  cacheFolder = await mkdtemp(join(tmpdir(), 'keysieve-hub-'));
  folder = join(cacheFolder, 'hub', 'a', 'b');
  path = join(folder, 'm.gguf');
  for (const name of ['HF_TOKEN', 'HF_ENDPOINT', 'http_proxy', 'HTTP_PROXY']) vi.stubEnv(name, undefined);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const server of servers) server.closeAllConnections();
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  servers = [];
  await rm(cacheFolder, { recursive: true });
});

async function serve(answer: Answer): Promise<{ url: string; requests: IncomingMessage[] }> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    answer(request, response);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
}

interface HubBehaviour {
  etag?: string;
  checksum?: boolean;
  /** The size that the look-up names. */
  size?: string | number;
  /** Answers for contents from a position on. */
  content?: ((response: ServerResponse, from: number, request: IncomingMessage) => unknown) | undefined;
  tree?: Answer;
}

const json = (response: ServerResponse, value: unknown, headers: Record<string, string> = {}) => {
  response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
};
const send = (response: ServerResponse, from: number, { etag = ETAG, bytes = CONTENT, pieces = 1 } = {}) => {
  response.writeHead(from === 0 ? 200 : 206, {
    etag,
    'content-length': bytes.length - from,
    ...(from > 0 && { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
  });
  return sendPieces(response, bytes.subarray(from), pieces);
};
async function sendPieces(response: ServerResponse, bytes: Uint8Array, pieces: number) {
  const length = Math.ceil(bytes.length / pieces);
  for (let at = 0; at < bytes.length; at += length) {
    response.write(bytes.subarray(at, at + length));
    if (pieces > 1) await sleep(5);
  }
  response.end();
}

/** The hub as it should be, with one file, but for some behaviour. */
function hub({ etag = ETAG, checksum = true, size = CONTENT.length, content, tree }: HubBehaviour = {}): Answer {
  const entry = { type: 'file', path: 'm.gguf', size: CONTENT.length };
  return (request, response) => {
    const url = request.url ?? '';
    if (url.includes('/paths-info/')) {
      const lfs = { oid: sha256(CONTENT), size: CONTENT.length, pointerSize: 1 };
      return json(response, [{ ...entry, ...(checksum && { lfs }) }]);
    }
    if (url.includes('/tree/')) return tree === undefined ? json(response, [entry]) : tree(request, response);
    const { range } = request.headers;
    if (range === 'bytes=0-0') {
      return response.writeHead(206, { etag, 'content-range': `bytes 0-0/${size}` }).end(CONTENT.subarray(0, 1));
    }
    const from = Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0);
    return content === undefined ? send(response, from, { etag }) : content(response, from, request);
  };
}

const fetchModel = (hubUrl: string, options: Parameters<typeof resolveModel>[1] & { spec?: string } = {}) =>
  resolveModel(options.spec ?? SPEC, { cacheFolder, hubUrl, backoffMs: 1, ...options }) as Promise<string>;
const expectIntact = async (file: string) => expect((await readFile(file)).equals(CONTENT)).toBe(true);

describe('two downloads of one file at once', () => {
  it.each([
    ['named by its checksum', {}],
    ['without a checksum', { etag: '"plain"', checksum: false }],
  ])('give the whole file to both, fetched once: %s', async (_, behaviour) => {
    for (const delay of [0, 40]) {
      await rm(folder, { recursive: true, force: true });
      const { url, requests } = await serve(
        hub({ ...behaviour, content: (response, from) => send(response, from, { ...behaviour, pieces: 40 }) }),
      );
      const second = sleep(delay).then(() => fetchModel(url));
      for (const file of await Promise.all([fetchModel(url), second])) await expectIntact(file);
      expect(await readdir(folder)).toEqual(['m.gguf']);
      expect(
        requests.filter(({ headers }) => headers.range === undefined && headers['content-type'] === undefined),
      ).toHaveLength(1);
    }
  });

  it('goes on where the other was killed and has left its lock', async () => {
    await mkdir(folder, { recursive: true });
    await writeFile(`${path}.lock`, '');
    await utimes(`${path}.lock`, 0, 0);
    await expectIntact(await fetchModel((await serve(hub())).url));
    expect(await readdir(folder)).toEqual(['m.gguf']);
  });

  it('can be aborted while it waits for the other', async () => {
    await mkdir(folder, { recursive: true });
    await writeFile(`${path}.lock`, '');
    const signal = AbortSignal.timeout(300);
    await expect(fetchModel((await serve(hub())).url, { signal })).rejects.toMatchObject({ code: 'aborted' });
  });
});

describe('a hub that asks to come later', () => {
  it.each([429, 502, 503, 504])('is asked again, as late as it says: %d', async (status) => {
    const answer = hub();
    let refusals = 0;
    const { url } = await serve((request, response) => {
      if (refusals++ % 3 < 2) response.writeHead(status, { 'retry-after': '0' }).end();
      else answer(request, response);
    });
    await expectIntact(await fetchModel(url, { spec: 'hf:a/b' }));
  });

  it('is given up after four tries', async () => {
    const { url, requests } = await serve((_, response) => response.writeHead(503).end());
    await expect(fetchModel(url)).rejects.toMatchObject({ code: 'hub-unreachable', found: 'status 503' });
    expect(requests).toHaveLength(4);
  });

  it('does not hold up an abort', async () => {
    const { url } = await serve((_, response) => response.writeHead(429, { 'retry-after': '3600' }).end());
    const signal = AbortSignal.timeout(300);
    await expect(fetchModel(url, { signal })).rejects.toMatchObject({ code: 'aborted' });
  });
});

describe('the rest of a file', () => {
  const keep = async (etag = ETAG) => {
    await mkdir(folder, { recursive: true });
    const version = sha256(Buffer.from(etag)).slice(0, 16);
    const partial = `${path}.${version}.0123abcd.partial`;
    await writeFile(partial, CONTENT.subarray(0, 100_000));
    return partial;
  };

  it('is asked for if the version is the same', async () => {
    await keep();
    const { url, requests } = await serve(hub());
    await expectIntact(await fetchModel(url));
    expect(requests.at(-1)?.headers).toMatchObject({ range: 'bytes=100000-', 'if-range': ETAG });
  });

  it.each<[string, (response: ServerResponse, from: number) => unknown]>([
    ['from another start', (response) => send(response, 50_000)],
    ['without saying where it starts', (response) => response.writeHead(206).end(CONTENT.subarray(100_000))],
    [
      'of another size',
      (response) => response.writeHead(206, { 'content-range': 'bytes 100000-998/999' }).end(CONTENT.subarray(100_000)),
    ],
    ['and cannot be had', (response) => response.writeHead(416).end()],
    ['as the whole file', (response) => send(response, 0)],
  ])('begins anew where it comes %s', async (_, answer) => {
    await keep();
    const { url } = await serve(
      hub({ content: (response, from) => (from === 0 ? send(response, 0) : answer(response, from)) }),
    );
    await expectIntact(await fetchModel(url));
    expect(await readdir(folder)).toEqual(['m.gguf']);
  });

  it.each<[string, HubBehaviour['content']]>([
    ['the rest', (response, from) => send(response, from, { etag: '"changed"', bytes: randomBytes(CONTENT.length) })],
    ['the whole', (response) => send(response, 0, { etag: '"changed"', bytes: randomBytes(CONTENT.length) })],
  ])('is not put together of two versions, without a checksum: %s', async (_, content) => {
    await keep('"plain"');
    const { url } = await serve(hub({ etag: '"plain"', checksum: false, content }));
    await expect(fetchModel(url)).rejects.toMatchObject({ code: 'hub-file-corrupt' });
    expect(await readdir(folder)).toEqual([]);
  });

  it.each<[string, (response: ServerResponse) => unknown]>([
    ['nothing', (response) => response.writeHead(500).end()],
    [
      'a redirect to what is no server',
      (response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
    ],
    ['a part from anywhere', (response) => response.writeHead(206).end(CONTENT.subarray(5))],
    ['another part', (response) => send(response, 50_000)],
  ])('is kept as far as it has come where the server has instead %s', async (_, content) => {
    await keep();
    const { url } = await serve(hub({ content }));
    await expect(fetchModel(url)).rejects.toMatchObject({ code: 'hub-unreachable' });
    const [partial = ''] = await readdir(folder);
    expect((await readFile(join(folder, partial))).equals(CONTENT.subarray(0, 100_000))).toBe(true);
  });

  it('is not written through a link', async () => {
    const partial = await keep();
    const victim = join(cacheFolder, 'precious');
    const { url } = await serve(hub());
    for (const make of [symlink, link]) {
      await rm(path, { force: true });
      await writeFile(victim, 'precious');
      await rm(partial, { force: true });
      await make(victim, partial);
      await expectIntact(await fetchModel(url));
      expect(await readFile(victim, 'utf8')).toBe('precious');
    }
  });

  it('replaces a link that leads nowhere', async () => {
    await mkdir(folder, { recursive: true });
    await symlink(join(cacheFolder, 'nothing'), path);
    await expectIntact(await fetchModel((await serve(hub())).url));
    expect((await lstat(path)).isFile()).toBe(true);
  });
});

describe('what a hub says', () => {
  it.each(['banana', '-5', '5 GB', '0', String(2 ** 50), ''])('is refused as a size: %j', async (size) => {
    const { url } = await serve(hub({ size, etag: '"x"', checksum: false }));
    await expect(fetchModel(url)).rejects.toMatchObject({ code: expect.stringMatching(/^hub-/) });
  });

  it('has an end where it lists files', async () => {
    let pages = 0;
    const { url } = await serve(
      hub({
        tree: (request, response) => {
          const next = `<http://${request.headers.host}/api/models/a/b/tree/main?cursor=${++pages}>; rel="next"`;
          json(response, [], { link: next });
        },
      }),
    );
    await expect(fetchModel(url, { spec: 'hf:a/b' })).rejects.toMatchObject({
      code: 'hub-unreachable',
      found: expect.stringContaining('pages'),
    });
  });

  it('is not read past any sense', async () => {
    const tree: Answer = (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(1 << 20, 32)));
      };
      response.on('drain', more);
      more();
    };
    const { url } = await serve(hub({ tree }));
    await expect(fetchModel(url, { spec: 'hf:a/b' })).rejects.toMatchObject({ code: 'hub-unreachable' });
  });

  it('may come compressed, but is no longer than announced', async () => {
    const sendZipped = (bytes: Uint8Array) => (response: ServerResponse) =>
      response.writeHead(200, { etag: ETAG, 'content-encoding': 'gzip' }).end(gzipSync(bytes));
    const bomb = await serve(hub({ content: sendZipped(Buffer.alloc(2 ** 26)) }));
    await expect(fetchModel(bomb.url)).rejects.toMatchObject({ code: 'hub-file-corrupt' });
    await expectIntact(await fetchModel((await serve(hub({ content: sendZipped(CONTENT) }))).url));
  });

  it.each(['null', '[null]', '[5]', '[{"type":"file"}]', '[{"type":"file","path":5}]', '"x"', '{'])(
    'is no list of files: %s',
    async (body) => {
      const { url } = await serve(hub({ tree: (_, response) => response.writeHead(200).end(body) }));
      await expect(fetchModel(url, { spec: 'hf:a/b' })).rejects.toMatchObject({ code: expect.stringMatching(/^hub-/) });
    },
  );

  it.each([
    '../../../evil.gguf',
    '/etc/evil.gguf',
    'a/../../evil.gguf',
    '..\\evil.gguf',
    'm\u001b[2J.gguf',
    'm\u202e.gguf',
  ])('is not taken for a name: %j', async (name) => {
    const { url } = await serve(hub({ tree: (_, response) => json(response, [{ type: 'file', path: name }]) }));
    await expect(fetchModel(url, { spec: 'hf:a/b' })).rejects.toMatchObject({ code: 'hub-file-not-found' });
  });
});

describe('a path in a repository', () => {
  it.each(['x#m.gguf', 'm.gguf?download=1.gguf', '100%.gguf', '%2e%2e/m.gguf', 'ein Modell.gguf'])(
    'is asked for as it is: %s',
    async (file) => {
      const { url, requests } = await serve(hub());
      await expectIntact(await fetchModel(url, { spec: `hf:a/b/${file}` }));
      for (const request of requests) {
        if (request.url?.includes('/resolve/')) {
          expect(decodeURIComponent(new URL(request.url, url).pathname)).toBe(`/a/b/resolve/main/${file}`);
        }
      }
    },
  );
});

describe('the token', () => {
  it('is not sent where a listing goes on at another host', async () => {
    const other = await serve((_, response) => json(response, [{ type: 'file', path: 'm.gguf', size: 1 }]));
    const { url, requests } = await serve(
      hub({ tree: (_, response) => json(response, [], { link: `<${other.url}/next>; rel="next"` }) }),
    );
    await expectIntact(await fetchModel(url, { spec: 'hf:a/b', accessToken: 'hf_secret' }));
    expect(requests[0]?.headers.authorization).toBe('Bearer hf_secret');
    expect(other.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });

  it('is not sent where the look-up or the content is elsewhere', async () => {
    const other = await serve(hub());
    const { url } = await serve((request, response) => {
      response.writeHead(302, { location: `${other.url}${request.url}` }).end();
    });
    await expectIntact(await fetchModel(url, { accessToken: 'hf_secret' }));
    expect(other.requests.length).toBeGreaterThan(1);
    for (const { headers } of other.requests) expect(headers.authorization).toBeUndefined();
  });
});

describe('a proxy', () => {
  it.each(['http_proxy', 'HTTP_PROXY'])('that %s names is used, and named where it fails', async (name) => {
    const proxy = await serve((_, response) => response.writeHead(400).end());
    let connects = 0;
    servers.at(-1)?.on('connect', (_, socket) => {
      connects++;
      socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
    });
    vi.stubEnv(name, proxy.url.replace('://', '://user:password@'));
    const error = await fetchModel('http://hub.invalid').catch((each) => each);
    expect(error).toMatchObject({ code: 'hub-unreachable', message: expect.stringContaining(`proxy ${proxy.url}`) });
    expect(error.message).not.toContain('password');
    expect(connects + proxy.requests.length).toBeGreaterThan(0);
  });
});

describe("the hub's address", () => {
  it.each(['banana', 'file:///etc', 'ftp://127.0.0.1'])('is a URL: %s', async (hubUrl) => {
    await expect(fetchModel(hubUrl)).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});
