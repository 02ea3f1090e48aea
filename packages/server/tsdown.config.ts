import { defineConfig } from 'tsdown';
import { buildOptions } from '../../scripts/tsdown-options.ts';

export default defineConfig({
  ...buildOptions,
  entry: ['src/index.ts'],
  platform: 'node',
  target: 'node20.19',
  copy: { from: 'src/page/page.html', to: 'dist' },
});
