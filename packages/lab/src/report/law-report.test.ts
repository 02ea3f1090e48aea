import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasChromium, launchChromium } from '../../../../scripts/browser/chromium.ts';
import { lawFixture } from '../../test/law-fixture.ts';
import { lawPageData } from './law-page-data.ts';
import { lawReport } from './law-report.ts';

describe('the report of a law', () => {
  it('is one file of some hundred kilobytes that can ask no network for anything', async () => {
    const html = await lawReport(lawFixture());
    expect(html.length).toBeLessThan(800_000);
    expect(html).toContain("default-src 'none'");
    // Names of namespaces are no addresses of anything that is loaded.
    expect(html).not.toMatch(/(src|href)="(?!data:)/);
  });

  it('keeps what is drawn of every head, with three digits', () => {
    const law = lawFixture({ layers: 2, heads: 3 });
    const { heads, lengths } = lawPageData(law);
    expect(heads).toHaveLength(6);
    const [head] = heads;
    expect(head?.laws).toHaveLength(9);
    const [original] = law.heads;
    expect((head?.laws[0]?.keys.at(-1)?.mean ?? 0) / (original?.laws[0]?.keys.at(-1)?.mean ?? 1)).toBeCloseTo(1, 2);
    expect(head?.errorWithoutTail).toHaveLength(lengths.length);
    expect(head?.errorWithoutTail[0]?.at(-1)).toBeNull();
  });
});

describe.skipIf(!hasChromium)('the report of a law in a browser', () => {
  let folder: string;
  let browser: Browser;
  const problems: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-report-'));
    await writeFile(join(folder, 'report.html'), await lawReport(lawFixture({ layers: 4, heads: 3 })));
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser?.close();
    await rm(folder, { recursive: true });
  });

  /** The page at a width, with what it complains about and asks for. */
  async function open(width: number, colorScheme: 'light' | 'dark'): Promise<Page> {
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
    page.on('pageerror', ({ message }) => problems.push(message));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    page.on('request', (request) => {
      if (!/^(file|data):/.test(request.url())) problems.push(`asked for ${request.url()}`);
    });
    await page.goto(pathToFileURL(join(folder, 'report.html')).href);
    await page.waitForSelector('.head-panel svg');
    return page;
  }

  it('shows any head that is pointed at, tapped, or reached by the keyboard', async () => {
    const page = await open(1200, 'light');
    const shown = () => page.textContent('.head-panel h3');
    const cell = (name: string) => page.locator('.heat-cells').first().getByRole('button', { name });
    await cell('layer 2, head 1:').hover();
    expect(await shown()).toContain('Layer 2, head 1:');
    await cell('layer 0, head 2:').click();
    expect(await shown()).toContain('Layer 0, head 2:');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowLeft');
    expect(await shown()).toContain('Layer 1, head 1:');
    // Off the edge it stays where it is.
    for (let i = 0; i < 5; i++) await page.keyboard.press('ArrowRight');
    expect(await shown()).toContain('Layer 1, head 2:');
    const before = await page.textContent('.head-panel p');
    await page.getByRole('group', { name: 'at most' }).last().getByText('1 %', { exact: true }).click();
    expect(await page.textContent('.head-panel p')).not.toBe(before);
    expect(problems).toEqual([]);
    await page.close();
  });

  it('fits a phone, and is dark where the system is', async () => {
    const page = await open(360, 'dark');
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const [red = 255] = ground.match(/\d+/g)?.map(Number) ?? [];
    expect(red).toBeLessThan(60);
    expect(problems).toEqual([]);
    await page.close();
  });
});
