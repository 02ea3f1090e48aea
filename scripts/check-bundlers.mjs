/**
 * Builds a page with each of the common bundlers, without settings, and one without any, and runs it in Chromium: a model
 * in a worker, with threads, says there what it says in Node.
 *
 * What cannot follow addresses of files (esbuild, Rollup) gets them from its user, as their own documentation has it: the
 * worker as a second entry, and ONNX Runtime's WebAssembly beside the bundle.
 */
import assert from 'node:assert/strict';
import { copyFileSync, createReadStream, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { extname, join } from 'node:path';
import { CHROMIUM, CHROMIUM_OPTIONS, hasChromium } from './browser/chromium.ts';

const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};
const PROMPT = 'The number of amber fox is 48213. The grass is green. The number of amber fox is ';
const EXPECTED = '48213';
const WASM = 'node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm';

/** A page that asks nano, in a worker that is started so. */
const pageOf = (worker) => `
  import { createWorkerModel, estimateMemory } from '@keysieve/llm/browser';
  const file = new File([await (await fetch('/nano.gguf')).blob()], 'nano.gguf');
  const worker = ${worker};
  const { total } = await estimateMemory(file, { context: 1024 });
  const model = await createWorkerModel(worker, file, { context: 1024, threads: 2 });
  const session = await model.createSession({ denseFallback: false });
  const { text } = await session.generate(${JSON.stringify(PROMPT)}, { maxTokens: 6 }).result;
  await model.dispose();
  globalThis.answer = { text, total, isolated: crossOriginIsolated };
`;
const start = (address) => `new Worker(${address}, { type: 'module' })`;
const BY_NAME = pageOf(start("new URL('@keysieve/llm/browser-worker', import.meta.url)"));
const BY_FILE = pageOf(start("new URL('./worker.js', import.meta.url)"));
const UNBUNDLED = pageOf(
  start(`import.meta.resolve('@keysieve/llm/standalone-worker')
    + '?runtime=' + encodeURIComponent(import.meta.resolve('onnxruntime-web/wasm'))`),
);

const html = (script, head = '') =>
  `<!doctype html><html lang="en"><head>${head}<link rel="icon" href="data:,"></head><body><script type="module" src="${script}"></script></body></html>`;

/** Each builds its page in a folder of its own, and gives the folder that is served. */
const BUNDLERS = {
  async vite(folder) {
    const { build } = await import('vite');
    write(folder, { 'index.html': html('./page.js'), 'page.js': BY_NAME });
    await build({ root: folder, configFile: false, logLevel: 'error' });
    return join(folder, 'dist');
  },
  async esbuild(folder) {
    const { build } = await import('esbuild');
    write(folder, { 'page.js': BY_FILE, 'worker.js': "import '@keysieve/llm/browser-worker';" });
    const outdir = join(folder, 'dist');
    const entryPoints = [join(folder, 'page.js'), join(folder, 'worker.js')];
    await build({ entryPoints, bundle: true, format: 'esm', outdir, logLevel: 'error' });
    write(outdir, { 'index.html': html('./page.js') });
    return outdir;
  },
  async rollup(folder) {
    const { rollup } = await import('rollup');
    const { nodeResolve } = await import('@rollup/plugin-node-resolve');
    write(folder, { 'page.js': BY_FILE, 'worker.js': "import '@keysieve/llm/browser-worker';" });
    const input = [join(folder, 'page.js'), join(folder, 'worker.js')];
    const bundle = await rollup({ input, plugins: [nodeResolve({ browser: true })], onwarn: () => {} });
    const dir = join(folder, 'dist');
    await bundle.write({ dir, format: 'es' });
    await bundle.close();
    write(dir, { 'index.html': html('./page.js') });
    return dir;
  },
  async webpack(folder) {
    const { default: webpack } = await import('webpack');
    write(folder, { 'page.js': BY_NAME });
    const path = join(folder, 'dist');
    const compiler = webpack({ context: folder, entry: './page.js', mode: 'production', output: { path } });
    const stats = await new Promise((resolve, reject) => {
      compiler.run((error, result) => (error ? reject(error) : resolve(result)));
    });
    await new Promise((resolve) => compiler.close(resolve));
    assert(!stats.hasErrors(), stats.toString('errors-only'));
    write(path, { 'index.html': html('./main.js') });
    return path;
  },
  async 'no bundler, an import map'(folder, project) {
    const imports = importMap(project);
    const map = `<script type="importmap">${JSON.stringify({ imports })}</script>`;
    write(folder, { 'index.html': html('./page.js', map), 'page.js': UNBUNDLED });
    return folder;
  },
};

/** The addresses of what a page without a bundler imports by name. */
function importMap(project) {
  const file = (name, path) => `/node_modules/${name}/${path}`;
  const llm = JSON.parse(readFileSync(join(project, 'node_modules/@keysieve/llm/package.json'), 'utf8'));
  const core = JSON.parse(readFileSync(join(project, 'node_modules/keysieve/package.json'), 'utf8'));
  const entry = (condition) => (typeof condition === 'string' ? condition : (condition.browser ?? condition).default);
  return {
    '@keysieve/llm/browser': file('@keysieve/llm', entry(llm.exports['./browser'])),
    '@keysieve/llm/standalone-worker': file('@keysieve/llm', entry(llm.exports['./standalone-worker'])),
    keysieve: file('keysieve', entry(core.exports['.'])),
    'keysieve/engine': file('keysieve', entry(core.exports['./engine'])),
    comlink: file('comlink', 'dist/esm/comlink.mjs'),
    'onnxruntime-web/wasm': file('onnxruntime-web', 'dist/ort.wasm.bundle.min.mjs'),
  };
}

/** Checks all of them from a project that has the packages installed; `only` names one. */
export async function checkBundlers(project, only) {
  if (!hasChromium) return;
  const { chromium } = createRequire(import.meta.url)('playwright-core');
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_OPTIONS });
  try {
    for (const [name, build] of Object.entries(BUNDLERS)) {
      if (only !== undefined && only !== name) continue;
      const folder = join(project, `page-${name.replace(/\W+/g, '-')}`);
      const served = await build(folder, project);
      copyFileSync(join(project, 'node_modules/@keysieve/llm/models/nano.gguf'), join(served, 'nano.gguf'));
      if (name === 'esbuild' || name === 'rollup')
        copyFileSync(join(project, WASM), join(served, WASM.split('/').pop()));
      const answer = await runPage(browser, served, project);
      assert.equal(answer.text.trim().slice(0, EXPECTED.length), EXPECTED);
      assert(answer.isolated && answer.total > 5e6);
      console.log(`${name}: a page is built, runs, and answers`);
    }
  } finally {
    await browser.close();
  }
}

async function runPage(browser, folder, project) {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://page');
    const root = pathname.startsWith('/node_modules/') ? project : folder;
    const path = join(root, pathname === '/' ? 'index.html' : pathname);
    if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return response.writeHead(404).end();
    response.writeHead(200, {
      'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream',
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Embedder-Policy': 'require-corp',
    });
    createReadStream(path).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const page = await browser.newPage();
  const said = [];
  page.on('console', (message) => said.push(message.text()));
  page.on('pageerror', (error) => said.push(String(error)));
  page.on('requestfailed', (request) => said.push(`${request.url()} failed`));
  page.on('response', (response) => response.status() >= 400 && said.push(`${response.url()}: ${response.status()}`));
  try {
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    await page.waitForFunction(() => globalThis.answer !== undefined, undefined, { timeout: 60_000 });
    return await page.evaluate(() => globalThis.answer);
  } catch (error) {
    throw new Error(`The page does not answer. It said:\n${said.join('\n')}`, { cause: error });
  } finally {
    await page.close();
    server.closeAllConnections();
    server.close();
  }
}

function write(folder, files) {
  mkdirSync(folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
}
