/**
 * Pictures of the page of apps/web as it has answered, and of a law, for phones and screens, light and dark:
 * `tsx scripts/shoot-page.ts FOLDER`. docs/page.png is one of them.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { launchChromium } from './browser/chromium.ts';
import { servePage } from './browser/page-server.ts';

const LAW = fileURLToPath(new URL('../packages/core/test/law.json', import.meta.url));
const folder = process.argv[2] as string;

await using server = await servePage();
const browser = await launchChromium();
try {
  const page = await browser.newPage();
  await page.goto(server.address);
  await shoot(page, 'empty');
  await page.getByRole('button', { name: /Use nano/ }).click();
  await page.getByText(/is loaded/).waitFor({ timeout: 60_000 });
  await page.getByRole('button', { name: /Use a sample/ }).click();
  await page.getByLabel('Your question').fill('The number of amber fox is ');
  await page.getByRole('button', { name: 'Ask' }).click();
  await page.locator('.answers .strip').waitFor({ timeout: 100_000 });
  await shoot(page, 'answered');
  await page.goto(`${server.address}law.html`);
  await page.getByLabel(/Open law.json/).setInputFiles(LAW);
  await page.locator('main svg').first().waitFor();
  await shoot(page, 'law');
} finally {
  await browser.close();
}

async function shoot(page: Page, name: string): Promise<void> {
  for (const [width, height] of [
    [390, 844],
    [1280, 900],
  ] as const) {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`), fullPage: true });
    }
  }
}
