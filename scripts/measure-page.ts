/**
 * Prints how the page of apps/web feels: its first paint, the longest block of its main thread while a prompt is read, and how
 * soon an answer ends that is stopped. `npm run measure:page`, with `--model FILE.gguf` for another model than nano.
 */
import { parseArgs } from 'node:util';
import type { Page } from 'playwright-core';
import { launchChromium } from './browser/chromium.ts';
import { servePage } from './browser/page-server.ts';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string' },
    stops: { type: 'string', default: '10' },
    repeats: { type: 'string', default: '2' },
  },
});
const QUESTION = 'The number of amber fox is ';

await using server = await servePage();
const browser = await launchChromium();
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  await page.addInitScript(() => {
    const tasks: [number, number][] = [];
    Object.assign(globalThis, { longTasks: tasks });
    new PerformanceObserver((list) => {
      for (const { startTime, duration } of list.getEntries()) tasks.push([startTime, duration]);
    }).observe({ type: 'longtask', buffered: true });
  });
  await page.goto(server.address);
  await page.waitForFunction(() => performance.getEntriesByName('first-contentful-paint').length > 0);
  const paint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN);
  console.log(`first contentful paint: ${paint.toFixed(0)} ms`);

  if (options.model === undefined) await page.getByRole('button', { name: /Use nano/ }).click();
  else await page.getByLabel(/Open a GGUF file/).setInputFiles(options.model);
  await page.getByText(/is loaded/).waitFor({ timeout: 120_000 });
  await page.getByRole('button', { name: /Use a sample/ }).click();
  const sample = await page.getByLabel('Or paste its text').inputValue();
  await page.getByLabel('Or paste its text').fill(sample.repeat(Number(options.repeats)));
  const tokens = await page.getByText(/\d tokens\./).textContent({ timeout: 60_000 });
  const start = await page.evaluate(() => performance.now());
  await ask(page);
  const answered = page.locator('.answers .strip');
  await answered.waitFor({ timeout: 600_000 });
  const blocks = await longTasks(page, start);
  const longest = blocks.length === 0 ? 'none of 50 ms or more' : `${Math.max(...blocks).toFixed(0)} ms`;
  console.log(`longest block of the main thread while it read and answered (${tokens?.replace('.', '')}): ${longest}`);

  const waits: number[] = [];
  for (let i = 0; i < Number(options.stops); i++) {
    // Another beginning, so that it is read anew.
    await page.getByLabel('Or paste its text').fill(`${i} ${sample}`);
    await page.getByText(/\d tokens\./).waitFor({ timeout: 60_000 });
    waits.push(await stop(page, 50 + 100 * i));
  }
  const sorted = waits.toSorted((a, b) => a - b);
  console.log(
    `from "Stop" to the end, ${waits.length} times while it reads: at most ${sorted.at(-1)?.toFixed(0)} ms (${sorted.map((ms) => ms.toFixed(0)).join(' ')})`,
  );
} finally {
  await browser.close();
}

async function ask(page: Page): Promise<void> {
  await page.getByLabel('Your question').fill(QUESTION);
  await page.getByRole('button', { name: 'Ask' }).click();
}

/** Milliseconds of the blocks since a time. */
function longTasks(page: Page, start: number): Promise<number[]> {
  return page.evaluate(
    (from) =>
      (globalThis as unknown as { longTasks: [number, number][] }).longTasks
        .filter(([at]) => at >= from)
        .map(([, duration]) => duration),
    start,
  );
}

/** Asks, stops after some time, and gives the milliseconds until the page can be asked again. */
async function stop(page: Page, afterMs: number): Promise<number> {
  await ask(page);
  await page.getByRole('button', { name: 'Stop', exact: true }).waitFor();
  await page.waitForTimeout(afterMs);
  return page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        const button = [...document.querySelectorAll('button')].find(({ textContent }) => textContent === 'Stop');
        const began = performance.now();
        new MutationObserver((_, observer) => {
          if (button?.isConnected && button.textContent === 'Stop') return;
          observer.disconnect();
          resolve(performance.now() - began);
        }).observe(document.body, { subtree: true, childList: true, characterData: true });
        button?.click();
      }),
  );
}
