/**
 * A plugin for Vite, Rolldown and Rollup: `#attention-worker` becomes the bundled program of core's thread for browsers, as
 * a text. The kernels are not in it: each thread gets them compiled.
 */
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';

const core = fileURLToPath(new URL('../packages/core/', import.meta.url));
const ID = '#attention-worker';
const RESOLVED = '\0attention-worker';

/** Resolves and loads the module, as these bundlers ask their plugins to. */
export interface EmbedWorker {
  name: string;
  enforce: 'pre';
  resolveId(id: string): string | undefined;
  load(id: string): Promise<string | undefined>;
}

export function embedWorker(): EmbedWorker {
  let source: Promise<string> | undefined;
  return {
    name: 'embed-worker',
    enforce: 'pre',
    resolveId: (id) => (id === ID ? RESOLVED : undefined),
    async load(id) {
      if (id !== RESOLVED) return undefined;
      source ??= bundleWorker();
      return `export default ${JSON.stringify(await source)};`;
    },
  };
}

/** The program of a thread, as one classic or module script. */
async function bundleWorker(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [`${core}src/attention/spawn/worker-browser.ts`],
    bundle: true,
    minify: true,
    write: false,
    format: 'iife',
    target: 'es2022',
    conditions: ['keysieve-source', 'browser'],
    logLevel: 'error',
    plugins: [withoutKernels],
  });
  return outputFiles[0]?.text ?? '';
}

/** Leaves the binary of the kernels out. */
const withoutKernels: Plugin = {
  name: 'without-kernels',
  setup(context) {
    context.onLoad({ filter: /kernels[\\/]wasm[\\/]binary\.ts$/ }, () => ({
      contents: "export const SHARED_KERNELS = ''; export const MEMORY_FLAGS = {};",
    }));
  },
};
