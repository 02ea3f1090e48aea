/**
 * Downloads into the storage of a Chromium whose tabs are closed meanwhile: a page fetches a model of a hub on 127.0.0.1, is
 * closed when some number of bytes was sent, and another one goes on, until the file is there.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { BrowserContext, Page } from 'playwright-core';
import { launchChromium } from '../../../scripts/browser/chromium.ts';

export interface ClosedTabs {
  /** SHA-256 of the file as the hub has it, and as the storage has it at last. */
  expected: string;
  found: string;
  /** Tabs that were closed while the file was fetched, or what was fetched was being looked through. */
  closed: number;
  byteLength: number;
  /** Bytes that the hub has sent, whether or not they arrived. */
  sent: number;
}

const SPEC = 'hf:someone/model/model.gguf';
const PATH = '/someone/model/resolve/main/model.gguf';
const PIECE_BYTES = 2 ** 16;

const WORKER = `
  import { resolveModel } from './packages/llm/src/hub/index.ts';
  const file = await resolveModel(${JSON.stringify(SPEC)}, { hubUrl: location.origin });
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()));
  postMessage([...hash].map((byte) => byte.toString(16).padStart(2, '0')).join(''));
`;
const PAGE = `<!doctype html><link rel="icon" href="data:,"><script>
  const worker = new Worker('./worker.js', { type: 'module' });
  worker.onmessage = ({ data }) => { globalThis.hash = data; };
  worker.onerror = ({ message }) => { globalThis.hash = message; };
</script>`;

/** Closes a tab after each of these numbers of bytes, counted from when it was opened. */
export async function closeTabs(byteLength: number, moments: readonly number[]): Promise<ClosedTabs> {
  const hub = await startHub(randomBytes(byteLength));
  const browser = await launchChromium();
  try {
    const context = await browser.newContext();
    let closed = 0;
    for (const bytes of moments) {
      const before = hub.sent();
      const page = await open(context, hub.url);
      while (hub.sent() - before < bytes && (await hashOf(page)) === undefined) await sleep(1);
      if ((await hashOf(page)) === undefined) closed++;
      await page.close();
    }
    const page = await open(context, hub.url);
    await page.waitForFunction('globalThis.hash !== undefined', undefined, { timeout: 100_000 });
    const found = (await hashOf(page)) ?? '';
    return { expected: hub.hash, found, closed, byteLength, sent: hub.sent() };
  } finally {
    await browser.close();
    hub.close();
  }
}

async function open(context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

const hashOf = (page: Page): Promise<string | undefined> => page.evaluate('globalThis.hash');

async function startHub(content: Buffer) {
  const hash = createHash('sha256').update(content).digest('hex');
  const worker = await bundle();
  let sent = 0;
  const server = createServer((request, response) => {
    if (request.url === '/worker.js') return response.writeHead(200, { 'content-type': 'text/javascript' }).end(worker);
    if (request.url !== PATH) return response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE);
    return sendRange(request, response);
  });

  async function sendRange({ headers }: IncomingMessage, response: ServerResponse) {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
    const range = content.subarray(Number(from), Number(to) + 1);
    response.writeHead(206, { etag: `"${hash}"`, 'content-range': `bytes ${from}-${to}/${content.length}` });
    for (let at = 0; at < range.length && !response.destroyed; at += PIECE_BYTES) {
      const piece = range.subarray(at, at + PIECE_BYTES);
      if (range.length > 1) sent += piece.length;
      response.write(piece);
      await sleep(1);
    }
    response.end();
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    hash,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    sent: () => sent,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** The program of the page's worker, from the sources. */
async function bundle(): Promise<string> {
  const root = fileURLToPath(new URL('../../..', import.meta.url));
  const { outputFiles } = await build({
    stdin: { contents: WORKER, resolveDir: root, loader: 'js' },
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    conditions: ['keysieve-source', 'browser'],
    logLevel: 'error',
  });
  return outputFiles[0]?.text ?? '';
}
