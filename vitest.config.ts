import { playwright } from '@vitest/browser-playwright';
import { defineConfig, type TestProjectConfiguration } from 'vitest/config';
import { CHROMIUM, CHROMIUM_OPTIONS, hasChromium } from './scripts/browser/chromium.ts';
import { generateInNode } from './scripts/browser/commands.ts';
import { firefox, hasFirefox } from './scripts/browser/firefox.ts';
import { embedWorker } from './scripts/embed-worker.ts';

// Packages import each other by name; this condition of their `exports` leads to the sources, so no build is needed.
const conditions = ['keysieve-source', 'module', 'node', 'development|production'];

const BROWSERS = {
  chromium: () => playwright({ launchOptions: { executablePath: CHROMIUM, args: CHROMIUM_OPTIONS } }),
  firefox,
};

/** Tests that run in a page, as core and llm are bundled for browsers; each of these projects has a browser of its own. */
const inBrowser = (
  browser: keyof typeof BROWSERS,
  name: string,
  groupOrder: number,
  include: string[],
): TestProjectConfiguration => ({
  plugins: [embedWorker()],
  resolve: { conditions: ['keysieve-source', 'browser', 'module', 'development|production'] },
  // Its files are looked for beside it.
  optimizeDeps: { exclude: ['onnxruntime-web'] },
  server: {
    headers: { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' },
  },
  test: {
    name,
    include,
    testTimeout: 120_000,
    sequence: { groupOrder },
    browser: {
      enabled: true,
      headless: true,
      provider: BROWSERS[browser](),
      instances: [{ browser }],
      screenshotFailures: false,
      commands: { generateInNode },
    },
  },
});

/** The suites of core, as they run in Node, too. */
const SUITES = [
  'packages/core/src/kernels/wasm/wasm-kernels.test.ts',
  'packages/core/src/policies/{policies,selectors,tails}.test.ts',
  'packages/core/src/evictions/eviction.test.ts',
];

/**
 * The conformance suites come after the engine and apart from it: they make hundreds of shared memories, each of which
 * reserves its maximum of addresses until it is collected, and the pages of a browser share a limit of them.
 */
const CHROMIUM_PROJECTS = [
  inBrowser('chromium', 'chromium', 1, ['packages/*/src/**/*.browser.test.ts']),
  inBrowser('chromium', 'chromium-suites', 2, SUITES),
];
const FIREFOX_PROJECTS = [inBrowser('firefox', 'firefox-suites', 3, SUITES)];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    pool: 'forks',
    // The report that `.ci/run` counts.
    reporters: process.env.CI
      ? ['default', ['json', { outputFile: 'node_modules/.cache/vitest-report.json' }]]
      : ['default'],
    projects: [
      {
        extends: true,
        test: {
          name: 'fast',
          include: ['packages/*/{src,test}/**/*.test.ts', 'apps/*/test/**/*.test.ts', 'scripts/**/*.test.mjs'],
          exclude: ['**/*.slow.test.ts', '**/*.browser.test.ts'],
          testTimeout: 120_000,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      ...(hasChromium ? CHROMIUM_PROJECTS : []),
      ...(hasFirefox ? FIREFOX_PROJECTS : []),
      {
        // Tests that need the real model or take minutes: one file at a time, after the others.
        extends: true,
        test: {
          name: 'slow',
          include: ['packages/*/{src,test}/**/*.slow.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 300_000,
          maxWorkers: 1,
          sequence: { groupOrder: 4 },
        },
      },
    ],
  },
});
