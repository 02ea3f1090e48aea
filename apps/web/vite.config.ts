import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';
import { embedWorker } from '../../scripts/embed-worker.ts';

const root = fileURLToPath(new URL('.', import.meta.url));
const core = fileURLToPath(new URL('../../packages/core/src/', import.meta.url));

/**
 * Lets core's threads run a file of the worker's build, which has most of their program already, where a text would hold a copy.
 * The text that a thread starts with keeps the messages that come before that file is there.
 */
function shareThreadProgram(): Plugin {
  const id = '#attention-worker';
  const resolved = '\0attention-thread';
  return {
    name: 'share-thread-program',
    enforce: 'pre',
    apply: 'build',
    resolveId: (source) => (source === id ? resolved : undefined),
    load: (source) =>
      source === resolved
        ? `
          import { serveAttention } from ${JSON.stringify(`${core}attention/worker.ts`)};
          import { listen, THREAD_NAME } from ${JSON.stringify(`${core}threads/browser.ts`)};
          if (globalThis.name === THREAD_NAME) serveAttention(listen);
          const takeEarly = 'const early = []; onmessage = (event) => early.push(event);';
          const takeAll = '.then(() => early.forEach((event) => onmessage(event)))';
          export default takeEarly + 'import(' + JSON.stringify(import.meta.url) + ')' + takeAll;
        `
        : undefined,
  };
}

/** Writes sw.js, which knows all files of the page. */
function serviceWorker(): Plugin {
  return {
    name: 'service-worker',
    apply: 'build',
    generateBundle: {
      // After all others have added their files.
      order: 'post',
      handler(_options, bundle) {
        const files = ['./', ...Object.keys(bundle), ...readdirSync(`${root}public`)];
        const template = readFileSync(`${root}service-worker.js`, 'utf8');
        const hash = createHash('sha256').update(template);
        for (const [name, item] of Object.entries(bundle))
          hash.update(name).update(item.type === 'asset' ? item.source : item.code);
        const constants = { VERSION: hash.digest('hex').slice(0, 16), FILES: files };
        const lines = Object.entries(constants).map(([name, value]) => `const ${name} = ${JSON.stringify(value)};`);
        this.emitFile({ type: 'asset', fileName: 'sw.js', source: [...lines, template].join('\n') });
      },
    },
  };
}

// From the sources of the packages, so that nothing needs a build before.
export default defineConfig({
  root,
  base: './',
  resolve: { conditions: ['keysieve-source', 'browser', 'module', 'development|production'] },
  plugins: [embedWorker(), serviceWorker()],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  worker: {
    format: 'es',
    plugins: () => [shareThreadProgram(), embedWorker()],
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: 'onnxruntime', test: /onnxruntime-web/ },
            // Threads run this without the rest.
            { name: 'keysieve', test: /packages[\\/]core[\\/]src/ },
          ],
        },
      },
    },
  },
  build: {
    target: 'es2022',
    chunkSizeWarningLimit: 2000,
    assetsInlineLimit: 0,
    rolldownOptions: { input: { index: `${root}index.html`, law: `${root}law.html` } },
  },
});
