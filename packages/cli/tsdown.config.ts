import { defineConfig } from 'tsdown';
// A command and no library: it has no types to offer.
import { buildOptions } from '../../scripts/tsdown-options.ts';

export default defineConfig({
  ...buildOptions,
  entry: ['src/main.ts'],
  platform: 'node',
  target: 'node20.19',
  dts: false,
});
