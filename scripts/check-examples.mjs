/** Runs every example against the built packages, and looks whether it prints what it should. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** What each example prints, among other lines. */
const EXPECTED = {
  'compare-two-policies.mjs': [
    /^sieve fixed:64: KL 0\.0\d+ nats a token$/m,
    /^window fixed:64: KL \d\.\d+ nats a token$/m,
  ],
  'evaluate-with-lab.mjs': [/^\d+ tokens; full attention: \d/m, /^sieve +\d\.\d+ \(/m, /^quest +\d\.\d+ \(/m],
  'several-turns.mjs': [
    /^The number of amber fox is 48213$/m,
    /^The number of silver oak is 90517$/m,
    /read \d\d of 8\d+ tokens/,
  ],
  'stream-an-answer.mjs': [/^prompt: 13 tokens/m, /^answer: \d+ tokens/m, /^attention: \d+ % of the keys exactly/m],
  'your-own-budget.mjs': [/^topk, first layer x 4: 16\d of 3180 keys/m],
  'your-own-runtime.mjs': [/^layer 0: 384 outputs, \d+ of \d+ kB read, error 0\.\d+, estimated 0\.\d+/m, /^layer 1: /m],
  'your-own-selector.mjs': [/^strided: 512 keys a head/m, /^topk: 512 keys a head/m],
};

const folder = fileURLToPath(new URL('../examples/', import.meta.url));
const files = readdirSync(folder).filter((file) => file.endsWith('.mjs'));
const faults = [
  ...files.filter((file) => !(file in EXPECTED)).map((file) => `${file}: say in this script what it prints`),
  ...Object.keys(EXPECTED)
    .filter((file) => !files.includes(file))
    .map((file) => `${file} is not there`),
];
for (const file of files) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [folder + file], {
    encoding: 'utf8',
    timeout: 300_000,
  });
  const missing = (EXPECTED[file] ?? []).filter((pattern) => !pattern.test(stdout));
  if (status === 0 && missing.length === 0) console.log(`ok ${file}`);
  else
    faults.push(
      `${file} exited with ${status} and did not print ${missing.join(', ') || 'an error'}:\n${stdout}${stderr}`,
    );
}
for (const fault of faults) console.error(fault);
process.exitCode = faults.length > 0 ? 1 : 0;
