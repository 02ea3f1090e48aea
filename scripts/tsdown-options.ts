/** What every package's build has in common: ES modules with types and source maps; dependencies stay outside. */
import type { UserConfig } from 'tsdown';

export const buildOptions = {
  format: 'esm',
  fixedExtension: true,
  sourcemap: true,
  dts: { sourcemap: true },
  failOnWarn: true,
  // Slow machines would otherwise be told which plugin was slow.
  checks: { pluginTimings: false },
  // `npm run dev` says what it has built again.
  logLevel: process.argv.includes('--watch') ? 'info' : 'warn',
} satisfies UserConfig;
