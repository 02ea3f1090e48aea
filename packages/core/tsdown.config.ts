import { defineConfig } from 'tsdown';
import { buildOptions } from '../../scripts/tsdown-options.ts';

export default defineConfig({
  ...buildOptions,
  // The worker is a file of its own, which `spawnThread` starts; it has no API and so no types.
  entry: { index: 'src/index.ts', extend: 'src/extend.ts', worker: 'src/attention/worker.ts' },
  dts: { ...buildOptions.dts, entry: ['src/index.ts', 'src/extend.ts'] },
  platform: 'neutral',
  // Imported only where there is no `Worker` of the browser.
  deps: { neverBundle: ['node:worker_threads'] },
  target: 'es2022',
});
