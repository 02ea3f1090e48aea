import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasChromium, launchChromium } from '../../../../scripts/browser/chromium.ts';
import { methodFixture } from '../../test/method-fixture.ts';
import { methodPageData } from './method-page-data.ts';
import { methodReport } from './method-report.ts';

describe('the report of methods', () => {
  it('is one file that can ask no network for anything', async () => {
    const html = await methodReport(methodFixture());
    expect(html.length).toBeLessThan(800_000);
    expect(html).toContain("default-src 'none'");
    expect(html).not.toMatch(/(src|href)="(?!data:)/);
  });

  it('keeps what is drawn, with three digits', () => {
    const { methods, captures } = methodPageData(methodFixture());
    expect(methods).toHaveLength(2);
    expect(methods[0]?.figures[0]?.value).toBe(0.123);
    expect(methods[0]?.readings[0]?.points[0]).toEqual({ name: 'a scan', cost: 12.3, error: 0.0457 });
    expect(methods[1]?.readings[0]?.axis).toBeNull();
    expect(captures[0]?.policies[0]?.name).toBe('the sieve');
  });
});

describe.skipIf(!hasChromium)('the report of methods in a browser', () => {
  let folder: string;
  let browser: Browser;
  const problems: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-report-'));
    await writeFile(join(folder, 'report.html'), await methodReport(methodFixture()));
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser?.close();
    await rm(folder, { recursive: true });
  });

  async function open(width: number, colorScheme: 'light' | 'dark'): Promise<Page> {
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
    page.on('pageerror', ({ message }) => problems.push(message));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    await page.goto(pathToFileURL(join(folder, 'report.html')).href);
    await page.waitForSelector('.chart svg');
    return page;
  }

  it('draws the pictures that there are readings for, and a card for every method', async () => {
    const page = await open(1200, 'light');
    expect(await page.locator('.card h2').allTextContents()).toEqual([
      'Error against bytes read for each key',
      'Certified against true share of the softmax that is gone',
      'first',
      'second',
    ]);
    expect(await page.textContent('main')).toContain('Does not hold on planted data');
    expect(problems).toEqual([]);
    await page.close();
  });

  it('fits a phone, and is dark where the system is', async () => {
    const page = await open(360, 'dark');
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
    expect(problems).toEqual([]);
    await page.close();
  });
});
