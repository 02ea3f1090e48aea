import { defineConfig } from 'tsdown';
import { buildOptions } from '../../scripts/tsdown-options.ts';

export default defineConfig({
  ...buildOptions,
  entry: { index: 'src/index.ts', plot: 'src/plot/index.ts' },
  platform: 'node',
  target: 'node20.19',
});
