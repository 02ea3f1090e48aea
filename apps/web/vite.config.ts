import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';
import { embedWorker } from '../../scripts/embed-worker.ts';

const root = fileURLToPath(new URL('.', import.meta.url));

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
    plugins: () => [embedWorker()],
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
