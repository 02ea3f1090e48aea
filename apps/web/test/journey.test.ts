/** The page as it is built: a model, a document, a question, how exact the answer is, another attention, no network. */
import { createReadStream } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import axe from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasChromium, launchChromium } from '../../../scripts/browser/chromium.ts';

const CONFIG = fileURLToPath(new URL('../vite.config.ts', import.meta.url));
const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
};
/** What the page may have of its own code, without ONNX Runtime, and what only models of the hub need: bytes, gzip. */
const MAX_PAGE_BYTES = 290 * 1024;

let folder: string;
let server: Server;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  if (!hasChromium) return;
  folder = await mkdtemp(join(tmpdir(), 'keysieve-web-'));
  await build({ configFile: CONFIG, logLevel: 'error', build: { outDir: folder } });
  server = createServer(async (request, response) => {
    const path = join(folder, new URL(request.url ?? '/', 'http://page').pathname.replace(/\/$/, '/index.html'));
    const found = await stat(path).catch(() => undefined);
    if (!found?.isFile()) return response.writeHead(404).end();
    response.writeHead(200, { 'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream' });
    return createReadStream(path).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  browser = await launchChromium();
  page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
}, 120_000);

afterAll(async () => {
  await browser?.close();
  server?.close();
  if (folder !== undefined) await rm(folder, { recursive: true });
});

async function violations(): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => (globalThis as unknown as { axe: typeof axe }).axe.run());
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}

async function ask(question: string): Promise<string> {
  const before = await page.locator('[data-answer]').count();
  await page.getByLabel('Your question').fill(question);
  await page.getByRole('button', { name: 'Ask' }).click();
  await page.locator('li').nth(before).locator('.strip').waitFor({ timeout: 100_000 });
  return (await page.locator('[data-answer]').nth(before).textContent()) ?? '';
}

async function shoot(name: string): Promise<void> {
  const target = process.env.SCREENSHOTS;
  if (target === undefined) return;
  for (const [width, height] of [
    [390, 844],
    [1280, 900],
  ] as const) {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: join(target, `${name}-${width}-${colorScheme}.png`), fullPage: true });
    }
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ colorScheme: 'light' });
}

describe.skipIf(!hasChromium)('the page', () => {
  it('has no more code of its own than it should', async () => {
    const assets = join(folder, 'assets');
    const scripts = (await readdir(assets)).filter(
      (name) => /\.(js|css)$/.test(name) && !/^(onnxruntime|hub)/.test(name),
    );
    const sizes = await Promise.all(scripts.map(async (name) => gzipSync(await readFile(join(assets, name))).length));
    expect(sizes.reduce((a, b) => a + b, 0)).toBeLessThan(MAX_PAGE_BYTES);
  });

  it('reads a document with the model that comes with it, finds the number, and says how', async () => {
    await page.getByRole('button', { name: /Use nano/ }).click();
    await page.getByText(/is loaded/).waitFor({ timeout: 60_000 });
    await page.getByRole('button', { name: /Use a sample/ }).click();
    await page.getByText(/\d tokens\./).waitFor();
    expect(await ask('The number of amber fox is ')).toContain('48213');
    const facts = (await page.locator('.facts').first().textContent()) ?? '';
    expect(facts).toMatch(/keys read of all[\d.]+ %/);
    expect(facts).toMatch(/share left out[\d.]+ %, estimated/);
    expect(await page.locator('blockquote').first().textContent()).toContain('48213');
    await shoot('answered');
  });

  it('fits a telephone', async () => {
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
    await page.setViewportSize({ width: 1280, height: 900 });
  });

  it('shows other passages by keyboard', async () => {
    const strip = page.getByRole('slider').first();
    const before = await strip.getAttribute('aria-valuenow');
    await strip.focus();
    await page.keyboard.press('ArrowRight');
    expect(await strip.getAttribute('aria-valuenow')).not.toBe(before);
  });

  it('attends in another way where that is chosen', async () => {
    await page.getByRole('radio', { name: /Window/ }).check();
    expect(await ask('The number of amber fox is ')).not.toContain('48213');
  });

  it('can be used by everyone', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      expect(await violations()).toEqual([]);
    }
  });

  it('opens again without a network, with its document, and answers', async () => {
    // What was loaded before the service worker was there is fetched again, and kept.
    await page.reload();
    await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
    await page.getByRole('button', { name: /Use nano/ }).click();
    await page.getByText(/is loaded/).waitFor({ timeout: 60_000 });
    await page.context().setOffline(true);
    await page.reload();
    await page.getByRole('button', { name: /Use nano/ }).click();
    await page.getByText(/is loaded/).waitFor({ timeout: 60_000 });
    expect(await ask('The number of amber fox is ')).toContain('48213');
    await page.context().setOffline(false);
  });
});
