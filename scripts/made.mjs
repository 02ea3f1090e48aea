/**
 * Files that a command makes, by `docs/made.json`: is one older than what makes it?
 *
 *   node scripts/made.mjs                 says which files are, and by which command they are made again
 *   node scripts/made.mjs make FILE...    runs their commands and records what they were made from
 *   node scripts/made.mjs record FILE...  records it without running them: where the result is known to be the same
 *
 * What a file is made from is a hash. `programs` are entry points: each is bundled with all that it imports, minified,
 * so that comments, types and names of variables do not count and code that is not used does not either. `inputs` are
 * files, by paths that may end in `/*`, taken as they are. Measured inputs that are not in the repository do not count.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const MANIFEST = `${root}docs/made.json`;

/** @typedef {{ command: string, programs?: string[], inputs?: string[], hash: string }} MadeFile */
/** @type {{ files: Record<string, MadeFile> }} */
const manifest = JSON.parse(readFileSync(MANIFEST, 'utf8'));
const [action = 'check', ...names] = process.argv.slice(2);

if (action === 'check') process.exitCode = await check();
else if (action === 'make') for (const name of names) await make(name);
else if (action === 'record') for (const name of names) await record(name);
else throw new Error(`Unknown action '${action}'. Use check, make or record.`);

async function check() {
  let stale = 0;
  for (const [name, made] of Object.entries(manifest.files)) {
    if ((await hashOf(made)) === made.hash) continue;
    console.error(`${name} is older than what makes it. Make it again: node scripts/made.mjs make ${name}`);
    console.error(`  which runs: ${made.command}`);
    stale++;
  }
  console.log(`${Object.keys(manifest.files).length} made files, ${stale} of them older than what makes them`);
  return stale > 0 ? 1 : 0;
}

async function make(name) {
  const { command } = entryOf(name);
  console.log(command);
  const { status } = spawnSync(command, { cwd: root, shell: true, stdio: 'inherit' });
  if (status !== 0) throw new Error(`${name} was not made: the command exited with ${status}.`);
  await record(name);
}

async function record(name) {
  const entry = entryOf(name);
  entry.hash = await hashOf(entry);
  writeFileSync(MANIFEST, `${JSON.stringify(manifest, null, 2)}\n`);
}

function entryOf(name) {
  const entry = manifest.files[name];
  if (entry === undefined) throw new Error(`docs/made.json has no ${name}.`);
  return entry;
}

async function hashOf({ programs = [], inputs = [] }) {
  const hash = createHash('sha256');
  for (const program of programs) hash.update(await bundle(program));
  for (const path of inputs.flatMap(expand).sort()) hash.update(`${path}\n`).update(readFileSync(root + path));
  return hash.digest('hex').slice(0, 16);
}

/** One program with all of the workspace that it imports; what it installs stays outside. */
async function bundle(entry) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    platform: 'node',
    target: ['es2022'],
    conditions: ['keysieve-source'],
    external: externalPackages(),
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'none',
    logLevel: 'error',
  });
  return outputFiles[0].contents;
}

/** What the workspaces depend on beside each other. */
function externalPackages() {
  const { workspaces } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
  const packages = workspaces.map((folder) => JSON.parse(readFileSync(`${root}${folder}/package.json`, 'utf8')));
  const workspaceNames = new Set(packages.map(({ name }) => name));
  const all = packages.flatMap(({ dependencies, devDependencies }) =>
    Object.keys({ ...dependencies, ...devDependencies }),
  );
  return all.filter((name) => !workspaceNames.has(name));
}

function expand(path) {
  if (!path.endsWith('/*')) return [path];
  const folder = dirname(path);
  return readdirSync(root + folder, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${folder}/${entry.name}`);
}
