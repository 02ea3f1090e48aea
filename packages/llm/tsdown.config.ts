import { defineConfig } from 'tsdown';
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
    entry: ['src/index.ts', 'src/browser.ts', 'src/browser-worker.ts'],
    outDir: 'dist/browser',
    dts: { ...buildOptions.dts, entry: ['src/browser.ts'] },
    platform: 'browser',
    target: 'es2022',
  },
]);
