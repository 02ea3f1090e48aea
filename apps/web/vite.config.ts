import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';
import { embedWorker } from '../../scripts/embed-worker.ts';

const root = fileURLToPath(new URL('.', import.meta.url));
const THREAD_PROGRAM = fileURLToPath(
  new URL('../../packages/core/src/attention/spawn/worker-browser.ts', import.meta.url),
);

/**
 * Makes the program of core's threads a file of the worker's build, which has most of it already, where a text would hold a
 * copy. What a thread starts with keeps the messages that come before that file is there.
 */
function shareThreadProgram(): Plugin {
  const id = '#attention-worker';
  const resolved = '\0attention-worker-file';
  return {
    name: 'share-thread-program',
    enforce: 'pre',
    apply: 'build',
    resolveId: (source) => (source === id ? resolved : undefined),
    load(source) {
      if (source !== resolved) return undefined;
      const program = this.emitFile({ type: 'chunk', id: THREAD_PROGRAM, name: 'attention-thread' });
      return `
        const url = new URL(import.meta.ROLLUP_FILE_URL_${program}, import.meta.url).href;
        const takeEarly = 'const early = []; onmessage = (event) => early.push(event);';
        export default takeEarly + 'import(' + JSON.stringify(url) + ').then(() => early.forEach((event) => onmessage(event)))';
      `;
    },
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
      output: { codeSplitting: { groups: [{ name: 'onnxruntime', test: /onnxruntime-web/ }] } },
    },
  },
  build: {
    target: 'es2022',
    chunkSizeWarningLimit: 2000,
    assetsInlineLimit: 0,
    rolldownOptions: { input: { index: `${root}index.html`, law: `${root}law.html` } },
  },
});
