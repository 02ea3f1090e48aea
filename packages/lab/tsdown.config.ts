import { defineConfig } from 'tsdown';
import { buildOptions } from '../../scripts/tsdown-options.ts';

export default defineConfig({
  ...buildOptions,
  // Worker threads of the attention import the baselines, too.
  entry: { index: 'src/index.ts', baselines: 'src/baselines/policies.ts', plot: 'src/plot/index.ts' },
  platform: 'node',
  target: 'node20.19',
});
