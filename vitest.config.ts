import { playwright } from '@vitest/browser-playwright';
import { defineConfig, type TestProjectConfiguration } from 'vitest/config';
import { CHROMIUM, CHROMIUM_OPTIONS, hasChromium } from './scripts/browser/chromium.ts';
import { generateInNode } from './scripts/browser/commands.ts';
import { embedWorker } from './scripts/embed-worker.ts';

// Packages import each other by name; this condition of their `exports` leads to the sources, so no build is needed.
const conditions = ['keysieve-source', 'module', 'node', 'development|production'];

/** Tests that run in a page, as core and llm are bundled for browsers; each of these projects has a browser of its own. */
const inChromium = (name: string, groupOrder: number, include: string[]): TestProjectConfiguration => ({
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
      provider: playwright({ launchOptions: { executablePath: CHROMIUM, args: CHROMIUM_OPTIONS } }),
      instances: [{ browser: 'chromium' }],
      screenshotFailures: false,
      commands: { generateInNode },
    },
  },
});

/**
 * The conformance suites come after the engine and apart from it: they make hundreds of shared memories, each of which
 * reserves its maximum of addresses until it is collected, and the pages of a browser share a limit of them.
 */
const CHROMIUM_PROJECTS = [
  inChromium('chromium', 1, ['packages/*/src/**/*.browser.test.ts']),
  // The suites of core, as they run in Node, too.
  inChromium('chromium-suites', 2, [
    'packages/core/src/kernels/wasm/wasm-kernels.test.ts',
    'packages/core/src/policies/{policies,selectors,tails}.test.ts',
    'packages/core/src/evictions/eviction.test.ts',
  ]),
];

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
      {
        // Tests that need the real model or take minutes: one file at a time, after the others.
        extends: true,
        test: {
          name: 'slow',
          include: ['packages/*/{src,test}/**/*.slow.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 300_000,
          maxWorkers: 1,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
