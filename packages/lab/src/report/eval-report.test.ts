import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasChromium, launchChromium } from '../../../../scripts/browser/chromium.ts';
import { evalFixture } from '../../test/eval-fixture.ts';
import { suggest } from '../eval/suggest.ts';
import { evalPageData } from './eval-page-data.ts';
import { evalReport } from './eval-report.ts';

describe('the report of an evaluation', () => {
  it('is one file of some hundred kilobytes that can ask no network for anything', async () => {
    const html = await evalReport(evalFixture());
    expect(html.length).toBeLessThan(800_000);
    expect(html).toContain("default-src 'none'");
    expect(html).not.toMatch(/(src|href)="(?!data:)/);
  });

  it('takes a text, tasks, or both', () => {
    const { text, tasks } = evalFixture();
    expect(evalPageData({ text })).toMatchObject({ tasks: null, target: { kl: 0.01, by: 'bytes' } });
    expect(evalPageData({ tasks })).toMatchObject({ text: null, model: { model: 'invented' } });
    const suggestion = suggest(text, { kl: 0.03, by: 'time' });
    expect(evalPageData({ text: { ...text, suggestion }, tasks }).target).toEqual({ kl: 0.03, by: 'time' });
  });
});

describe.skipIf(!hasChromium)('the report of an evaluation in a browser', () => {
  let folder: string;
  let browser: Browser;
  const problems: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-report-'));
    const { text, tasks } = evalFixture();
    await writeFile(join(folder, 'both.html'), await evalReport({ text, tasks }));
    await writeFile(join(folder, 'tasks.html'), await evalReport({ tasks }));
    const prefill = { policy: 'sieve', budget: 'power:4.2,0.5' };
    const longNames = text.policies.map((policy) => ({ ...policy, policy: `topk-${policy.policy}`, prefill }));
    const steps = text.times?.steps.map((step) => ({ ...step, policy: `topk-${step.policy}` })) ?? [];
    const longTimes = text.times && { ...text.times, steps };
    await writeFile(
      join(folder, 'long.html'),
      await evalReport({ text: { ...text, policies: longNames, times: longTimes } }),
    );
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser?.close();
    await rm(folder, { recursive: true });
  });

  async function open(name: string, width: number, colorScheme: 'light' | 'dark'): Promise<Page> {
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
    page.on('pageerror', ({ message }) => problems.push(message));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    page.on('request', (request) => {
      if (!/^(file|data):/.test(request.url())) problems.push(`asked for ${request.url()}`);
    });
    await page.goto(pathToFileURL(join(folder, name)).href);
    await page.waitForSelector('main .card');
    return page;
  }

  it('says first which setting to take, and another for another limit', async () => {
    const page = await open('both.html', 1200, 'light');
    const first = () => page.textContent('.tile .value');
    const { text } = evalFixture();
    const { setting } = suggest(text, { kl: 0.01, by: 'bytes' });
    expect(await first()).toBe(`${setting?.policy} ${setting?.budget}`);
    expect(await page.textContent('tr.strong')).toContain(await first());
    const limit = (text: string) => page.getByRole('group', { name: 'KL at most' }).getByText(text, { exact: true });
    await limit('0.1').click();
    expect(await first()).toBe('sieve fixed:64');
    await limit('0.001').click();
    expect(await first()).toBe('dense');
    expect(await page.locator('tr.strong').count()).toBe(0);
    expect(problems).toEqual([]);
    await page.close();
  });

  it('shows any layer that is pointed at, and the scores of any task', async () => {
    const page = await open('both.html', 1200, 'light');
    await page.getByRole('button', { name: 'quest fixed:64, layer 2:' }).hover();
    expect(await page.textContent('[aria-live]')).toContain('quest fixed:64, layer 2: error');
    await page.getByRole('button', { name: 'quest fixed:64, layer 2:' }).click();
    await page.keyboard.press('ArrowDown');
    expect(await page.textContent('[aria-live]')).toContain('quest fixed:256, layer 2: error');
    const sieve = page.locator('table.scores tr', { hasText: 'sieve' });
    expect(await sieve.locator('td').nth(2).textContent()).toMatch(/^75/);
    await page.getByText('variables', { exact: true }).click();
    expect(await sieve.locator('td').nth(2).textContent()).toMatch(/^0/);
    expect(problems).toEqual([]);
    await page.close();
  });

  it.for(['both.html', 'long.html'])(
    'shows all columns of its tables on a screen 1,280 pixels wide: %s',
    async (name) => {
      const page = await open(name, 1280, 'light');
      const widths = await page.evaluate(() =>
        [...document.querySelectorAll('.table')].map((table) => [table.scrollWidth, table.clientWidth]),
      );
      expect(widths.length).toBeGreaterThan(0);
      for (const [content = 0, shown = 0] of widths) expect(content).toBeLessThanOrEqual(shown);
      await page.close();
    },
  );

  it.for(['both.html', 'tasks.html'])('fits a phone, and is dark where the system is: %s', async (name) => {
    const page = await open(name, 360, 'dark');
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    expect(Number(ground.match(/\d+/)?.[0] ?? 255)).toBeLessThan(60);
    expect(problems).toEqual([]);
    await page.close();
  });
});
