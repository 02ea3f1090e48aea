/** The browser that tests of pages use: a Chromium at `CHROMIUM`, or where Debian installs it. */
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

export const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
export const CHROMIUM_OPTIONS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
];

export const hasChromium = existsSync(CHROMIUM);
if (!hasChromium) console.warn(`skipped: needs a Chromium at ${CHROMIUM} (or where CHROMIUM says), which is not there`);

export const launchChromium = (): Promise<Browser> =>
  chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_OPTIONS });
