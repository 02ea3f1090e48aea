import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { embedWorker } from '../../scripts/embed-worker.ts';

// From the sources of the packages, so that nothing needs a build before.
export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: './',
  resolve: { conditions: ['keysieve-source', 'browser', 'module', 'development|production'] },
  plugins: [embedWorker()],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  worker: {
    format: 'es',
    plugins: () => [embedWorker()],
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: 'onnxruntime', test: /onnxruntime-web/ },
            { name: 'hub', test: /@huggingface.hub/ },
          ],
        },
      },
    },
  },
  build: { target: 'es2022', chunkSizeWarningLimit: 2000, assetsInlineLimit: 0 },
});
