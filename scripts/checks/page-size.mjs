/** Builds the page of apps/web, prints what its own code weighs, and fails where that is more than was promised. */

import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';

/**
 * Bytes, gzip: what every visit loads, the page, its worker and the program of threads. Apart from it are ONNX Runtime, and what
 * only PDF files and models of the hub need.
 */
const MAX_BYTES = 250 * 1024;
const NOT_OWN = /^assets\/(onnxruntime|pdf|hub)/;
/** Another page. */
const OTHER = /^assets\/law/;

const configFile = fileURLToPath(new URL('../../apps/web/vite.config.ts', import.meta.url));
const { output } = await build({ configFile, logLevel: 'error', build: { write: false } });
const scripts = output
  .filter(({ fileName }) => /\.(js|css)$/.test(fileName) && fileName !== 'sw.js')
  .filter(({ fileName }) => !NOT_OWN.test(fileName) && !OTHER.test(fileName))
  .map((item) => ({ name: item.fileName, bytes: gzipSync(item.type === 'asset' ? item.source : item.code).length }));
const total = scripts.reduce((sum, { bytes }) => sum + bytes, 0);
const kib = (bytes) => `${(bytes / 1024).toFixed(1)} KiB`;
for (const { name, bytes } of scripts) console.log(`${name}: ${kib(bytes)}`);
console.log(`page: ${kib(total)} of its own code, gzip, at most ${kib(MAX_BYTES)}`);
process.exitCode = total > MAX_BYTES ? 1 : 0;
