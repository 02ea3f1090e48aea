import { defineConfig } from 'tsdown';

export default defineConfig({
  entry: ['src/check-peer.ts', 'src/dense-segments.ts'],
  // Keysieve is the build of the workspace around this folder, with its worker threads beside it.
  deps: { neverBundle: ['keysieve', '@keysieve/llm'] },
  dts: false,
  failOnWarn: true,
  logLevel: 'warn',
});
