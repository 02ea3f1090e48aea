/**
 * A provider for Vitest's tests in pages: Debian's Firefox, at `FIREFOX` or where Debian installs it, opened at the tests'
 * address. They need no more of a browser than that, and so neither a driver nor its download.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineBrowserProvider } from '@vitest/browser';

export const FIREFOX = process.env.FIREFOX ?? '/usr/bin/firefox-esr';

export const hasFirefox = existsSync(FIREFOX);
if (!hasFirefox) console.warn(`skipped: needs a Firefox at ${FIREFOX} (or where FIREFOX says), which is not there`);

/** Nothing is fetched, reported or asked at a first start. */
const PREFERENCES = {
  'app.normandy.enabled': false,
  'app.update.disabledForTesting': true,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.homepage_override.mstone': 'ignore',
  'datareporting.policy.dataSubmissionEnabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'data:,',
  'toolkit.telemetry.reportingpolicy.firstRun': false,
  'dom.min_background_timeout_value': 4,
};

export function firefox() {
  const opened: { process: ChildProcess; profile: string }[] = [];
  return defineBrowserProvider({
    name: 'firefox',
    supportedBrowser: ['firefox'],
    options: {},
    providerFactory: () => ({
      name: 'firefox',
      supportsParallelism: false,
      getCommandsContext: () => ({}),
      async openPage(_session, url) {
        const profile = await mkdtemp(join(tmpdir(), 'keysieve-firefox-'));
        const lines = Object.entries(PREFERENCES).map(
          ([key, value]) => `user_pref("${key}", ${JSON.stringify(value)});`,
        );
        await writeFile(join(profile, 'user.js'), lines.join('\n'));
        const args = ['--headless', '--no-remote', '--profile', profile, url];
        opened.push({ process: spawn(FIREFOX, args, { stdio: 'ignore' }), profile });
      },
      async close() {
        for (const { process: child, profile } of opened.splice(0)) {
          const ended = child.exitCode === null ? once(child, 'exit') : undefined;
          child.kill();
          await ended;
          await rm(profile, { recursive: true, force: true, maxRetries: 5 });
        }
      },
    }),
  });
}
