/**
 * Holds sizes that are promised: the command stays a thin one, the tests of the lab grow with it, and no file is so
 * long that it holds two ideas.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const MAX_CLI_LINES = 3000;
/** A floor that only rises: .5, the density of core, is the aim. */
const MIN_LAB_TEST_LINES_PER_SOURCE_LINE = 0.37;
const MAX_FILE_LINES = 500;

const root = fileURLToPath(new URL('../..', import.meta.url));
const GENERATED = /\/generated\/|\.generated\.ts$|\/binary\.ts$/;
const TEST = /\.test\.tsx?$|\.conformance\.ts$|\/conformance\/|-fixture\.tsx?$|^packages\/[^/]+\/test\//;

const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '--deduplicate'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => /\.(?:tsx?|mjs)$/.test(path) && !GENERATED.test(path) && existsSync(root + path))
  .map((path) => ({ path, isTest: TEST.test(path), lines: readFileSync(root + path, 'utf8').split('\n').length - 1 }));

const linesOf = (folder, isTest) =>
  files.reduce((sum, file) => sum + (file.path.startsWith(folder) && file.isTest === isTest ? file.lines : 0), 0);

const faults = files
  .filter(({ lines }) => lines > MAX_FILE_LINES)
  .map(
    ({ path, lines }) => `${path} has ${lines} lines, more than ${MAX_FILE_LINES}: give the second idea in it a file.`,
  );

const cli = linesOf('packages/cli/src/', false);
console.log(`cli: ${cli} lines of source, at most ${MAX_CLI_LINES}`);
if (cli > MAX_CLI_LINES) faults.push('What packages/cli evaluates, measures or draws belongs in packages/lab.');

const density = linesOf('packages/lab/', true) / linesOf('packages/lab/src/', false);
console.log(`lab: ${density.toFixed(2)} test lines a source line, at least ${MIN_LAB_TEST_LINES_PER_SOURCE_LINE}`);
if (!(density >= MIN_LAB_TEST_LINES_PER_SOURCE_LINE)) faults.push('packages/lab needs more tests.');

for (const fault of faults) console.error(fault);
process.exitCode = faults.length > 0 ? 1 : 0;
