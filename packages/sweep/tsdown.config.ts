import { defineConfig } from 'tsdown';
import { buildOptions } from '../../scripts/tsdown-options.ts';

export default defineConfig({
  ...buildOptions,
  // The child process of a worker is started by its file.
  entry: ['src/index.ts', 'src/cell-process.ts'],
  platform: 'node',
  target: 'node20.19',
});
