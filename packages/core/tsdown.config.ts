import { defineConfig } from 'tsdown';
import { embedWorker } from '../../scripts/embed-worker.ts';
import { buildOptions } from '../../scripts/tsdown-options.ts';

const entry = { index: 'src/index.ts', extend: 'src/extend.ts', engine: 'src/engine.ts' };
const target = 'es2022';

export default defineConfig([
  {
    ...buildOptions,
    // The worker is a file of its own, which `spawnAttentionThread` starts; it has no API and so no types.
    entry: { ...entry, worker: 'src/attention/spawn/worker-node.ts' },
    dts: { ...buildOptions.dts, entry: Object.values(entry) },
    platform: 'node',
    target,
  },
  {
    ...buildOptions,
    entry: { ...entry, worker: 'src/attention/spawn/worker-browser.ts' },
    outDir: 'dist/browser',
    dts: false,
    platform: 'browser',
    target,
    plugins: [embedWorker()],
  },
]);
