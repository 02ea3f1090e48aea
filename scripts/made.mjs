/**
 * Files that a command makes, by `docs/made.json`: is one older than what makes it?
 *
 *   node scripts/made.mjs                 says which files are, and by which command they are made again
 *   node scripts/made.mjs make FILE...    runs their commands and records what they were made from
 *   node scripts/made.mjs record FILE...  records it without running them: where the result is known to be the same
 *
 * An entry names its `programs`, with all that these import, and its `inputs`; what they hash to is `hash`: see
 * `checks/made-from.mjs`. What was measured and is not in the repository does not count.
 *
 * A generated source that is older than what makes it fails the check. A document is only named: to measure it again
 * takes minutes and the captures, and a change of a comment is no reason for that.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { hashOf } from './checks/made-from.mjs';

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
  let [stale, staleSources] = [0, 0];
  for (const [name, made] of Object.entries(manifest.files)) {
    if ((await hashOf(made)) === made.hash) continue;
    console.error(`${name} is older than what makes it. Make it again: node scripts/made.mjs make ${name}`);
    console.error(`  which runs: ${made.command}`);
    stale++;
    if (name.startsWith('packages/')) staleSources++;
  }
  console.log(`${Object.keys(manifest.files).length} made files, ${stale} of them older than what makes them`);
  return staleSources > 0 ? 1 : 0;
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
