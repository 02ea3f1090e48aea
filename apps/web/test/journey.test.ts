/**
 * The page as it is built: a model and a document are dropped, it is asked, says how exact it was, and answers again after it
 * was opened anew, without a network too.
 */
import { fileURLToPath } from 'node:url';
import axe from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasChromium, launchChromium } from '../../../scripts/browser/chromium.ts';
import { type PageServer, servePage } from '../../../scripts/browser/page-server.ts';
import { writePdf } from './write-pdf.ts';

const pathOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const NANO = pathOf('../../../models/nano/nano.gguf');
const LAW = pathOf('../../../packages/core/test/law.json');
let server: PageServer;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  if (!hasChromium) return;
  server = await servePage();
  browser = await launchChromium();
  page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  await page.goto(server.address);
}, 120_000);

afterAll(async () => {
  await browser?.close();
  await server?.[Symbol.asyncDispose]();
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
  await page.locator('.answers li').nth(before).locator('.strip').waitFor({ timeout: 250_000 });
  return (await page.locator('[data-answer]').nth(before).textContent()) ?? '';
}

/** Drops a file on what is labelled so. */
async function drop(label: RegExp, content: string | Buffer, name: string): Promise<void> {
  const bytes = [...Buffer.from(content)];
  const dataTransfer = await page.evaluateHandle(
    ([bytes, name]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(bytes as number[])], name as string));
      return transfer;
    },
    [bytes, name] as const,
  );
  await page.locator('label', { hasText: label }).dispatchEvent('drop', { dataTransfer });
}

const loaded = () => page.getByText(/is loaded/).waitFor({ timeout: 120_000 });
const useNano = async () => {
  await page.getByRole('button', { name: /Use nano/ }).click();
  await loaded();
};

const LINE = 'The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. ';
const FACT = 'The number of amber fox is 48213. ';
const QUESTION = 'The number of amber fox is ';
/** Characters are tokens of nano: more than 8,000 of them. */
const DOCUMENT = `${LINE.repeat(45)}${FACT}${LINE.repeat(45)}`;

describe.skipIf(!hasChromium)('the page', { timeout: 300_000 }, () => {
  it('reads a model and a document that are dropped on it, finds the number in 8,000 tokens, and says how', async () => {
    await page.getByLabel(/Open a GGUF file/).setInputFiles(NANO);
    await loaded();
    await drop(/Open a text/, DOCUMENT, 'document.md');
    const tokens = await page.getByText(/\d tokens\./).textContent({ timeout: 120_000 });
    expect(Number(tokens?.replace(/\D/g, ''))).toBeGreaterThan(8000);
    expect(await ask(QUESTION)).toContain('48213');
    expect(await page.getByRole('button', { name: 'Stop loading' }).count()).toBe(0);
    const facts = (await page.locator('.facts').first().textContent()) ?? '';
    expect(facts).toMatch(/keys read of all[\d.]+ %/);
    expect(facts).toMatch(/share left out[\d.]+ %, estimated/);
    expect(await page.locator('blockquote').first().textContent()).toContain('48213');
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
    expect(await ask(QUESTION)).not.toContain('48213');
  });

  it('can be used by everyone', async () => {
    expect(await violations()).toEqual([]);
    await page.emulateMedia({ colorScheme: 'dark' });
    expect(await violations()).toEqual([]);
    await page.emulateMedia({ colorScheme: 'light' });
  });

  it('has kept both when it is opened again, without a network, and answers with threads', async () => {
    await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
    await page.context().setOffline(true);
    await page.reload();
    await page.getByRole('button', { name: /Use own\/nano.gguf/ }).click();
    await loaded();
    // Isolated by the service worker.
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    expect(await ask(QUESTION)).toContain('48213');
    await page.context().setOffline(false);
  });

  it('deletes a model that it has kept', async () => {
    await page.getByRole('button', { name: /Delete own\/nano.gguf/ }).click();
    await page.getByText('Kept in this browser').waitFor({ state: 'detached' });
    await page.reload();
    await useNano();
    expect(await page.getByText('Kept in this browser').count()).toBe(0);
  });

  it('fetches a model by its address, and stops where it is told to', async () => {
    await page.getByLabel(/Or fetch one/).fill(`${server.address}none.gguf`);
    await page.getByRole('button', { name: 'Fetch' }).click();
    await page.getByRole('alert').filter({ hasText: 'There is no' }).waitFor();
  });

  it('reads PDF files', async () => {
    await drop(/Open a text/, writePdf(['A page about nothing.', FACT]), 'document.pdf');
    const text = page.getByLabel('Or paste its text');
    await page.waitForFunction(() => /about nothing/.test(document.querySelector('textarea')?.value ?? ''));
    expect(await text.inputValue()).toBe(`A page about nothing.\n\n${FACT.trim()}`);
    await drop(/Open a text/, 'no pdf at all', 'broken.pdf');
    await page.getByRole('alert').waitFor();
    expect(await text.inputValue()).toContain('48213');
  });

  it("draws a model's law", async () => {
    await page.getByRole('link', { name: "Your model's law" }).click();
    await drop(/Open law.json/, '{}', 'law.json');
    await page.getByRole('alert').filter({ hasText: 'law.json' }).waitFor();
    await page.getByLabel(/Open law.json/).setInputFiles(LAW);
    await page.getByText('planted').first().waitFor();
    await page.locator('main svg').nth(2).waitFor();
    expect(await violations()).toEqual([]);
  });
});
