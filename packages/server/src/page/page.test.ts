/** The page at `/` in a real browser, against a server with nano. */
import { expect, it } from 'vitest';
import { hasChromium, launchChromium } from '../../../../scripts/browser/chromium.ts';
import { recallPrompt, serveNano } from '../../test/servers.ts';

it.skipIf(!hasChromium)('shows the answer, how exact it was, what was in a cache, and the load', async () => {
  await using server = await serveNano();
  const browser = await launchChromium();
  try {
    const page = await browser.newPage({ viewport: { width: 390, height: 800 } });
    const problems: string[] = [];
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    page.on('pageerror', (error) => problems.push(String(error)));
    page.setDefaultTimeout(120_000);
    // Answers of the length that the page asks for are long to wait for; the last one is there to be stopped. What the
    // page asks for without a temperature is drawn at random.
    let maxTokens = 96;
    await page.route('**/v1/chat/completions', (route) =>
      route.continue({ postData: { ...route.request().postDataJSON(), max_tokens: maxTokens, temperature: 0 } }),
    );
    await page.goto(server.url);
    const answers = page.locator('.answer');
    const ask = async (text: string) => {
      await page.getByLabel('Message').fill(text);
      await page.getByRole('button', { name: 'Send' }).click();
    };

    await page.getByLabel('Audit').fill('2');
    await ask(recallPrompt('48213'));
    await answers.first().getByRole('table').waitFor();
    expect(await answers.first().locator('p').first().textContent()).toMatch(/^48213/);
    expect(await answers.first().getByRole('row').allTextContents()).toHaveLength(4);
    expect(await answers.first().getByText('Measured there').textContent()).toMatch(/KL \d/);

    await page.getByLabel('Audit').fill('0');
    await ask(' And again: ');
    await answers.nth(1).getByRole('table').waitFor();
    const note = await answers.nth(1).locator('.note').textContent();
    const [, cached] = /([\d,]+) of them from a cache/.exec(note ?? '') ?? [];
    expect(Number(cached?.replace(',', ''))).toBeGreaterThan(200);

    maxTokens = 2048;
    await ask('Stop this one: ');
    await page.getByRole('button', { name: 'Stop' }).click();
    await answers.nth(2).getByText('Stopped.').waitFor();
    await expect.poll(() => page.getByText('Tokens generated').locator('..').textContent()).toMatch(/[1-9]/);
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
    expect(problems).toEqual([]);
  } finally {
    await browser.close();
  }
});

it.skipIf(!hasChromium)('asks for an API key only where one is needed', async () => {
  await using server = await serveNano({ apiKey: 'secret' });
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    await page.goto(server.url);
    await page.getByText('an API key is needed').waitFor();
    await page.getByLabel('API key').fill('secret');
    await page.getByText('ready', { exact: true }).waitFor();
    await expect.poll(() => page.getByLabel('Model').locator('option').allTextContents()).toEqual(['nano']);
  } finally {
    await browser.close();
  }
});
