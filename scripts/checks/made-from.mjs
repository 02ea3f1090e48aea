/** What a made file is made from, as a hash: see `scripts/made.mjs`. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import ts from 'typescript';

const root = fileURLToPath(new URL('../../', import.meta.url));

/**
 * A hash of what a file is made from. `programs` are entry points: each is bundled with all that it imports, so that
 * comments, types, formatting and code that is not used do not count. `inputs` are files,
 * by paths that may end in `/*`; of TypeScript, which AssemblyScript is as far as words go, comments and spaces do not count.
 * @param {{ programs?: string[], inputs?: string[] }} made
 */
export async function hashOf({ programs = [], inputs = [] }) {
  const hash = createHash('sha256');
  for (const program of programs) hash.update(await bundle(program));
  for (const path of inputs.flatMap(expand).sort()) hash.update(`${path}\n`).update(contentOf(resolve(root, path)));
  return hash.digest('hex').slice(0, 16);
}

/** One program with all of the workspace that it imports; what it installs stays outside. */
async function bundle(entry) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    minifySyntax: true,
    minifyWhitespace: true,
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
  return readdirSync(resolve(root, folder), { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${folder}/${entry.name}`);
}

function contentOf(path) {
  if (!path.endsWith('.ts')) return readFileSync(path);
  const scanner = ts.createScanner(
    ts.ScriptTarget.Latest,
    true,
    ts.LanguageVariant.Standard,
    readFileSync(path, 'utf8'),
  );
  const tokens = [];
  while (scanner.scan() !== ts.SyntaxKind.EndOfFileToken) tokens.push(scanner.getTokenText());
  return tokens.join('\n');
}
