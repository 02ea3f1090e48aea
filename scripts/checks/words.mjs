/**
 * Looks for retired words and names in code and documents, for doc comments that begin by pointing at their neighbour,
 * for spreads of fresh literals (`...{ a }`, `...[a]`), which say nothing that the plain properties do not, and for temporary
 * folders that stay behind.
 *
 * Generated files, changelogs and what `docs/made.json` lists are left out: their makers are looked at instead.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';
import { DANGLING, NAME_PREFIXES, NAMES, PROSE, VAGUE_VARIABLES } from './retired-words.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const TEXT = /\.(?:tsx?|mjs|cjs|js|md|css|html|ya?ml|sh)$/;
const CODE = /\.(?:tsx?|mjs|cjs|js)$/;
const EXEMPT = [
  /(?:^|\/)CHANGELOG\.md$/,
  /(?:^|\/)generated\//,
  /\.generated\.ts$/,
  /^\.changeset\//,
  /^models\//,
  // Drives older builds by the names that they have.
  /^bench\/src\/compare-builds\.ts$/,
  /^scripts\/checks\/(?:retired-words|words)(?:\.test)?\.mjs$/,
];

/**
 * The findings in one file, in order of lines.
 * @param {string} path
 * @param {string} text
 * @returns {{ line: number, message: string }[]}
 */
export function findRetired(path, text) {
  const findings = [];
  text.split('\n').forEach((line, i) => {
    for (const { pattern, instead, except } of PROSE) {
      if (except?.test(path)) continue;
      const match = pattern.exec(line);
      if (match) findings.push({ line: i + 1, message: `"${match[0]}": write ${instead}` });
    }
  });
  if (CODE.test(path)) findings.push(...findInCode(path, text));
  return findings.sort((a, b) => a.line - b.line);
}

function findInCode(path, text) {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const findings = [];
  const add = (position, message) =>
    findings.push({ line: source.getLineAndCharacterOfPosition(position).line + 1, message });

  const visit = (node) => {
    if (ts.isIdentifier(node)) {
      const name = node.text;
      if (Object.hasOwn(NAMES, name)) add(node.getStart(), `the name ${name}: write ${NAMES[name]}`);
      if (NAME_PREFIXES.test(name)) add(node.getStart(), `the name ${name}: begin it with MAX_ or MIN_`);
      if (VAGUE_VARIABLES.has(name) && declares(node)) add(node.getStart(), `the variable ${name}: say what it holds`);
    }
    if (ts.isSpreadElement(node) || ts.isSpreadAssignment(node)) {
      const { expression } = node;
      if (ts.isObjectLiteralExpression(expression) || ts.isArrayLiteralExpression(expression))
        add(node.getStart(), 'a spread of a fresh literal: write its entries out');
    }
    ts.forEachChild(node, visit);
  };
  visit(source);

  const temporary = /\bmkdtemp(?:Sync)?\(/.exec(text);
  if (temporary !== null && !/\brm(?:Sync)?\(/.test(text))
    add(temporary.index, 'a temporary folder that nothing here removes: remove it, also after a failure');

  for (const match of text.matchAll(/\/\*\*\s*(?:\*\s*)?(?<opening>[^\n*]*)/g)) {
    const { opening } = match.groups;
    if (DANGLING.test(opening))
      add(match.index, `a doc comment that begins with "${opening.slice(0, 20)}": let it stand alone`);
  }
  return findings;
}

/** Whether a variable is declared under this name. A property that is destructured keeps the name that it has. */
function declares(node) {
  const { parent } = node;
  return (ts.isVariableDeclaration(parent) || ts.isParameter(parent)) && parent.name === node;
}

/** Paths of the files that are looked at. */
function listFiles() {
  const made = Object.keys(JSON.parse(readFileSync(`${root}docs/made.json`, 'utf8')).files);
  const listed = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '--deduplicate'], {
    cwd: root,
    encoding: 'utf8',
  });
  return listed
    .split('\n')
    .filter((path) => TEXT.test(path) && !made.includes(path) && !EXEMPT.some((pattern) => pattern.test(path)))
    .filter((path) => existsSync(root + path));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const chosen = process.argv.slice(2);
  const files = listFiles().filter((path) => chosen.length === 0 || chosen.some((start) => path.startsWith(start)));
  let count = 0;
  for (const path of files) {
    for (const { line, message } of findRetired(path, readFileSync(root + path, 'utf8'))) {
      console.log(`${path}:${line}: ${message}`);
      count++;
    }
  }
  if (count > 0) {
    console.error(
      `${count} retired words. scripts/checks/retired-words.mjs is the list, docs/glossary.md has the terms.`,
    );
    process.exitCode = 1;
  }
}
