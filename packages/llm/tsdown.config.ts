import { defineConfig } from 'tsdown';
import { licenses } from '../../scripts/licenses.ts';
import { buildOptions } from '../../scripts/tsdown-options.ts';

export default defineConfig([
  {
    ...buildOptions,
    entry: ['src/index.ts', 'src/internal.ts'],
    dts: { ...buildOptions.dts, entry: ['src/index.ts', 'src/internal.ts'] },
    platform: 'node',
    target: 'node20.19',
    // The model that `loadModel('nano')` finds in the package.
    copy: { from: '../../models/nano/nano.gguf', to: 'models' },
  },
  {
    ...buildOptions,
    entry: ['src/index.ts', 'src/browser-worker.ts'],
    outDir: 'dist/browser',
    dts: false,
    platform: 'browser',
    target: 'es2022',
  },
  {
    ...buildOptions,
    // Apart from the engine: a page without a bundler should not load what only the worker needs.
    entry: ['src/browser.ts'],
    outDir: 'dist/page',
    dts: { ...buildOptions.dts, entry: ['src/browser.ts'] },
    platform: 'browser',
    target: 'es2022',
    // So that an import map names few packages.
    deps: { alwaysBundle: [/^@bufbuild\//, /^@noble\//], onlyBundle: false },
    plugins: [licenses()],
  },
  {
    ...buildOptions,
    // With all that it imports, since import maps do not reach workers.
    entry: ['src/standalone-worker.ts'],
    outDir: 'dist/standalone',
    dts: false,
    sourcemap: false,
    minify: true,
    platform: 'browser',
    target: 'es2022',
    deps: { alwaysBundle: [/.*/], onlyBundle: false },
    inputOptions: { resolve: { conditionNames: ['standalone', 'browser', 'import', 'default'] } },
    plugins: [licenses()],
  },
]);
