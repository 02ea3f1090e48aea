/**
 * A real model in Chromium: its greedy text beside Node's, a document longer than it was trained for, and its times beside
 * wllama's, in turns on the same page. From the root:
 * `node --conditions keysieve-source --import tsx bench/src/in-browser.ts --model FILE.gguf --text TEXT.txt --what text|long|speed`.
 */
import { createReadStream, statSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Page } from 'playwright-core';
import { build } from 'vite';
import { launchChromium } from '../../scripts/browser/chromium.ts';
import { generateInNode } from '../../scripts/browser/commands.ts';
import { embedWorker } from '../../scripts/embed-worker.ts';
import type { BenchPage, SideTimes } from './browser/page.ts';

const TYPES: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };
const FACT = ' The secret number of the amber fox is 48213. Remember it. ';
const QUESTION =
  '\n\nQuestion: What is the secret number of the amber fox?\nAnswer: The secret number of the amber fox is';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string' },
    text: { type: 'string' },
    what: { type: 'string', default: 'speed' },
    tokens: { type: 'string', default: '512,8000' },
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '1' },
    decode: { type: 'string', default: '32' },
  },
});
const modelPath = options.model as string;
const text = await readFile(options.text as string, 'utf8');
const threads = Number(options.threads);
const maxTokens = Number(options.decode);

const folder = await mkdtemp(join(tmpdir(), 'keysieve-bench-'));
const browser = await launchChromium();
const server = createServer((request, response) => {
  const { pathname } = new URL(request.url ?? '/', 'http://page');
  const path = pathname === '/model.gguf' ? modelPath : join(folder, pathname === '/' ? 'index.html' : pathname);
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return response.writeHead(404).end();
  response.writeHead(200, {
    'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Embedder-Policy': 'require-corp',
  });
  return createReadStream(path).pipe(response);
});
try {
  await buildPage();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const page = await browser.newPage();
  page.on('pageerror', (error) => console.error(error));
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  await page.waitForFunction('globalThis.bench !== undefined');
  if (options.what === 'text') await compareText(page);
  else if (options.what === 'long') await readLong(page);
  else await compareSpeed(page);
} finally {
  await browser.close();
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true });
}

async function buildPage() {
  await build({
    configFile: false,
    root: fileURLToPath(new URL('browser', import.meta.url)),
    logLevel: 'error',
    resolve: { conditions: ['keysieve-source', 'browser', 'module', 'development|production'] },
    plugins: [embedWorker()],
    worker: { format: 'es', plugins: () => [embedWorker()] },
    build: { outDir: folder, emptyOutDir: true, target: 'es2022', assetsInlineLimit: 0, chunkSizeWarningLimit: 20_000 },
  });
}

/** Greedy text of the page and of Node, in fp32, by full attention and by the sieve. */
async function compareText(page: Page) {
  await call(page, 'load', 1, 4096);
  const prompt = await call(page, 'cut', text, 600);
  for (const policy of ['dense', 'sieve']) {
    const attention = { policy };
    const inPage = await call(page, 'keysieve', prompt, 48, { attention, denseFallback: false });
    const node = await generateInNode(undefined, prompt, { attention, maxTokens: 48, model: modelPath });
    console.log(
      `${policy}: ${inPage.promptTokens} tokens read, 48 generated, ${inPage.text === node ? 'equal' : 'NOT equal'} to Node's`,
    );
    if (inPage.text !== node) console.log({ inPage: inPage.text, node });
  }
}

/** A document of twice as many tokens as the model was trained for, with a fact in its middle. */
async function readLong(page: Page) {
  await call(page, 'load', threads, 16_640);
  const half = await call(page, 'cut', text, 8000);
  const prompt = `${half}${FACT}${await call(page, 'cut', text.slice(half.length), 8000)}${QUESTION}`;
  const { promptTokens, prefillMs, decodeMs, text: answer } = await call(page, 'keysieve', prompt, maxTokens);
  console.log(
    `${promptTokens} tokens read in ${(prefillMs / 1000).toFixed(1)} s, ${((promptTokens / prefillMs) * 1000).toFixed(0)} a second`,
  );
  console.log(`an answer at ${decodeMs.toFixed(0)} ms a token: ${JSON.stringify(answer)}`);
}

async function compareSpeed(page: Page) {
  const lengths = (options.tokens as string).split(',').map(Number);
  const context = Math.max(...lengths) + maxTokens + 64;
  await call(page, 'load', threads, context);
  console.log(await call(page, 'loadPeer', threads, context));
  for (const tokens of lengths) {
    const beginning = await call(page, 'cut', text, tokens);
    for (let round = 1; round <= Number(options.rounds); round++) {
      // Another beginning, so that neither side finds it among what it has read.
      const prompt = `${round}. ${beginning}`;
      const ours = await call(page, 'keysieve', prompt, maxTokens);
      const peer = await call(page, 'wllama', prompt, maxTokens);
      print(tokens, round, ours, peer);
    }
  }
}

function print(tokens: number, round: number, ours: SideTimes, peer: SideTimes) {
  const line = (name: string, { promptTokens, prefillMs, decodeMs }: SideTimes) =>
    `  ${name}: ${promptTokens} tokens read in ${(prefillMs / 1000).toFixed(2)} s, ${decodeMs.toFixed(1)} ms a token`;
  console.log(`${tokens} tokens, round ${round}\n${line('keysieve', ours)}\n${line('wllama', peer)}`);
  const ratio = (a: number, b: number) => (a / b).toFixed(2);
  console.log(
    `  wllama / keysieve: reading ${ratio(peer.prefillMs, ours.prefillMs)}, decoding ${ratio(peer.decodeMs, ours.decodeMs)}`,
  );
}

/** Calls a function of the page. */
async function call<K extends keyof BenchPage>(
  page: Page,
  name: K,
  ...args: Parameters<BenchPage[K]>
): Promise<Awaited<ReturnType<BenchPage[K]>>> {
  const result = await page.evaluate(
    ([name, args]) =>
      (globalThis as unknown as { bench: Record<string, (...args: unknown[]) => unknown> }).bench[name]?.(...args),
    [name as string, args as unknown[]] as const,
  );
  return result as Awaited<ReturnType<BenchPage[K]>>;
}
