import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: { conditions: ['keysieve-source', 'module', 'node', 'development|production'] },
  ssr: { resolve: { conditions: ['keysieve-source', 'module', 'node', 'development|production'] } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'packages/*/test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
  },
});
