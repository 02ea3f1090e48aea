/**
 * Checks the packages as a user gets them: packs each one, lints the tarballs (publint, are-the-types-wrong), installs
 * them into an empty project outside the workspace, type-checks and runs a small program there, runs the command, and
 * builds pages with the common bundlers.
 *
 * Install scripts stay off: ONNX Runtime's fetches a CUDA library that nothing here uses. npm's cache is preferred, so
 * that the check works offline once the workspace has been installed.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkBundlers } from './check-bundlers.mjs';

/** Entries without types: the conformance suites, which only the workspace has, and the programs of threads. */
const UNTYPED = ['conformance', 'worker', 'browser-worker', 'standalone-worker'];

const root = fileURLToPath(new URL('..', import.meta.url));
const packages = readJson('package.json').workspaces.map((folder) => readJson(`${folder}/package.json`));
const project = mkdtempSync(join(tmpdir(), 'keysieve-consumer-'));
const env = { ...process.env, KEYSIEVE_CACHE: join(project, 'cache'), ONNXRUNTIME_NODE_INSTALL: 'skip' };

try {
  const tarballs = pack();
  for (const { name, exports } of packages) lint(tarballs.get(name), exports['.']?.types !== undefined);
  install([...tarballs.values()]);
  for (const resolution of ['nodenext', 'bundler']) typeCheck(resolution);
  runProgram();
  runCommand();
  await checkBundlers(project);
} finally {
  rmSync(project, { recursive: true, force: true });
}

/** Packs every workspace; gives the path of each package's tarball by its name. */
function pack() {
  const packed = run(
    'npm',
    ['pack', '--workspaces', '--ignore-scripts', '--json', '--pack-destination', project],
    root,
  );
  const tarballs = new Map();
  for (const { name, filename, entryCount, size } of Object.values(JSON.parse(packed))) {
    tarballs.set(name, join(project, filename));
    console.log(`packed ${name}: ${entryCount} files, ${Math.round(size / 1000)} kB`);
  }
  return tarballs;
}

/** A package without types (the command) has nothing for are-the-types-wrong to look at. */
function lint(tarball, typed) {
  run(tool('publint'), ['run', tarball, '--strict'], root);
  const attwOptions = ['--profile', 'esm-only', '--format', 'ascii', '--exclude-entrypoints', ...UNTYPED];
  if (typed) run(tool('attw'), [tarball, ...attwOptions], root);
  console.log(`publint${typed ? ' and attw' : ''}: nothing to say about ${tarball.split('/').at(-1)}`);
}

function install(tarballs) {
  writeProjectFile('package.json', { name: 'consumer', private: true, type: 'module' });
  const nodeTypes = `@types/node@${readJson('node_modules/@types/node/package.json').version}`;
  const onnxRuntimeWeb = `onnxruntime-web@${readJson('node_modules/onnxruntime-web/package.json').version}`;
  const options = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
  run('npm', ['install', ...options, ...tarballs, nodeTypes, onnxRuntimeWeb]);
  console.log('installed into an empty project');
}

/** Compiles the program; the declarations of the packages are checked with it, and so are those that they import. */
function typeCheck(moduleResolution) {
  copyFileSync(join(root, 'scripts/consumer/program.ts'), join(project, 'program.ts'));
  writeProjectFile('tsconfig.json', {
    compilerOptions: {
      target: 'es2022',
      lib: ['es2022', 'dom'],
      module: moduleResolution === 'bundler' ? 'esnext' : moduleResolution,
      moduleResolution,
      types: ['node'],
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
    },
    files: ['program.ts'],
  });
  run(tool('tsc'), ['-p', project]);
  console.log(`type-checked with moduleResolution ${moduleResolution}`);
}

function runProgram() {
  process.stdout.write(run(process.execPath, ['program.js']));
}

function runCommand() {
  const keysieve = (...args) => run('npx', ['--no-install', 'keysieve', ...args]);
  const { version } = packages.find(({ bin }) => bin?.keysieve);
  assert.equal(keysieve('--version').trim(), version);
  const prompt = ['--prompt', 'The king said', '--max-tokens', '8'];
  assert.equal(JSON.parse(keysieve('generate', '--model', 'nano', ...prompt, '--json')).tokens.length, 8);
  const { answers } = JSON.parse(keysieve('demo', '--tokens', '2048', '--json'));
  assert.deepEqual(
    answers.map(({ policy, right }) => [policy, right]),
    [
      ['dense', true],
      ['sieve', true],
      ['window', false],
    ],
  );
  console.log(`npx keysieve: version ${version} generates, and its demo answers`);
}

/** Gives what `file` wrote to stdout; a failure carries all that it wrote. */
function run(file, args, cwd = project) {
  const { status, stdout, stderr, error } = spawnSync(file, args, { cwd, env, encoding: 'utf8', maxBuffer: 1 << 26 });
  if (status === 0) return stdout;
  throw new Error(`${file} ${args.join(' ')} failed (${error ?? `exit status ${status}`})\n${stdout}${stderr}`);
}

function tool(name) {
  return join(root, 'node_modules/.bin', name);
}

function readJson(path) {
  return JSON.parse(readFileSync(join(root, path), 'utf8'));
}

function writeProjectFile(name, content) {
  writeFileSync(join(project, name), JSON.stringify(content, null, 2));
}
