/**
 * Certificates against float64, at scale: `npm run torture:certificates` tries 10^7 query rows, or the number that is given,
 * some 12,000 a second and process:
 *
 *   npm run torture:certificates -- 1e9 --seed 7 --minutes 480 --processes 8
 *
 * Keys of every shape that the tests of certificates have, in caches of f16, f32 and int8, under queries of those shapes, at
 * other scales, along keys of the cache, and against them, in one step or in parts as threads do it. For each row: is at most
 * as much unread as the certificate says, at most as much as was asked for, and is the output as near as it says? Ends with
 * code 1 where anything is not. Each process has a seed of its own, from `--seed` on; `--json` prints one object.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { attendByPolicy } from '../packages/core/src/attention/decode.ts';
import type { RowResult } from '../packages/core/src/attention/row-result.ts';
import type { GroupWork } from '../packages/core/src/group/group-work.ts';
import { ENCODINGS, PAGE_KEYS, PRECISIONS, type Precision } from '../packages/core/src/kernels/layout.ts';
import {
  type CertifiedTarget,
  createPolicy,
  type PolicySpec,
  type SparseParts,
} from '../packages/core/src/policies/policy.ts';
import { attendInParts } from '../packages/core/test/certified-in-parts.ts';
import { certifiedPositions } from '../packages/core/test/certified-positions.ts';
import { createHeadBench, type HeadBench } from '../packages/core/test/head-bench.ts';
import { KEY_SHAPE_NAMES, type KeyShapeName, keysOfShape } from '../packages/core/test/key-shapes.ts';
import { createRandom } from '../packages/core/test/random.ts';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string', default: 'Infinity' },
    processes: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
});
const rowCount = Number(positionals[0] ?? 1e7);
const seed = Number(flags.seed);
const processes = Number(flags.processes);
const random = createRandom(seed);

const HEAD_DIMS = [8, 32, 64, 80, 128];
const LENGTHS = [1, 2, 5, 64, 65, 100, 130, 200, 300, 300, 500, 1500];
const SHARES = [0.3, 0.1, 0.05, 0.05, 0.01, 1e-3, 1e-6];
const ROWS = [1, 2, 3, 3, 4];
/** Query rows for each cache, before the next one is made. */
const ROWS_PER_CACHE = 600;

const pick = <Item>(list: readonly Item[]): Item => list[Math.floor(random.uniform() * list.length)] as Item;

/** A cache, and what it holds in float64. */
interface Cache {
  what: string;
  headDim: number;
  n: number;
  bench: HeadBench;
  keys: Float64Array;
  values: Float64Array;
  query: Float32Array;
}

function createCache(shape: KeyShapeName, precision: Precision): Cache {
  const [headDim, n] = [pick(HEAD_DIMS), pick(LENGTHS)];
  const { keys, values, query } = keysOfShape(shape, random, n, headDim);
  const bench = createHeadBench({ headDim, keys, values, precision, encodings: ENCODINGS });
  const held = bench.problem(query);
  const what = `keys that are ${shape}, ${n} of ${headDim} dimensions, ${precision}`;
  return { what, headDim, n, bench, query, keys: Float64Array.from(held.keys), values: Float64Array.from(held.values) };
}

/** A query of the shape, at another scale, along a key or against it, or another one. */
function queryRow({ query, headDim, n, keys }: Cache): Float32Array {
  const key = Math.floor(random.uniform() * n) * headDim;
  const scale = 2 ** (8 * random.uniform() - 4);
  const along = () => keys.subarray(key, key + headDim);
  const kinds = [
    () => query,
    () => query.map((x) => x * scale),
    () => random.normals(headDim, pick([1, 3, 12, 48])),
    () => Float32Array.from(along(), (x) => x * scale),
    () => Float32Array.from(along(), (x, i) => -x * scale + (query[i] as number)),
  ];
  return pick(kinds)();
}

const POLICIES: ((share: number) => PolicySpec)[] = [
  (certify) => ({ policy: 'sieve', certify }),
  (share) => ({ policy: 'int8', budget: `mass:${share}` }),
  (certify) => ({ policy: 'window', budget: 'fixed:8', certify }),
  () => ({ policy: 'int8', budget: 'fixed:20' }),
];

/** What did not hold, of one row; undefined where all did. */
function violationOf(
  { headDim, n, keys, values }: Cache,
  row: Float32Array,
  output: Float32Array,
  { kind, tailMass, outputError, outcome, keysExact }: RowResult,
  read: Int32Array,
  maxTailMass: number | undefined,
): string | undefined {
  if (kind !== 'certified') return 'it is not certified';
  if (!(tailMass >= 0 && tailMass <= 1 && outputError >= 0)) return `it says ${tailMass} and ${outputError}`;
  if (maxTailMass !== undefined && !(tailMass <= maxTailMass))
    return `it leaves ${tailMass}, where ${maxTailMass} was asked for`;
  if (outcome === 'full') return keysExact === n ? undefined : `it has read ${keysExact} keys and is called full`;
  if (keysExact !== read.length) return `it has read ${read.length} keys and says ${keysExact}`;
  const scores = new Float64Array(n);
  let max = Number.NEGATIVE_INFINITY;
  const scale = 1 / Math.sqrt(headDim);
  for (let j = 0; j < n; j++) {
    let sum = 0;
    for (let i = 0; i < headDim; i++) sum += (row[i] as number) * (keys[j * headDim + i] as number);
    scores[j] = sum * scale;
    if (sum * scale > max) max = sum * scale;
  }
  const exact = new Float64Array(headDim);
  let [total, unread, next] = [0, 0, 0];
  for (let j = 0; j < n; j++) {
    const weight = Math.exp((scores[j] as number) - max);
    total += weight;
    if (read[next] === j) next++;
    else unread += weight;
    if (weight > 0)
      for (let i = 0; i < headDim; i++) exact[i] = (exact[i] as number) + weight * (values[j * headDim + i] as number);
  }
  if (unread / total > tailMass) return `it leaves ${unread / total} and says ${tailMass}`;
  let [error, norm] = [0, 0];
  for (let i = 0; i < headDim; i++) {
    const truth = (exact[i] as number) / total;
    error += ((output[i] as number) - truth) ** 2;
    norm += truth ** 2;
  }
  const relative = error === 0 ? 0 : Math.sqrt(error / norm);
  return relative > outputError ? `it is off by ${relative} and says ${outputError}` : undefined;
}

interface Counts {
  rows: number;
  full: number;
  violations: number;
}

/** Tries queries of a group. */
function tryGroup(cache: Cache, counts: Counts): void {
  const { bench, headDim, what } = cache;
  const rows = pick(ROWS);
  const share = pick(SHARES);
  const spec = pick(POLICIES)(share);
  const { sparse } = createPolicy(spec) as { sparse: SparseParts };
  const alone = sparse.unit === 'head' || sparse.certified?.atOnce === false;
  const groups = alone ? Array.from({ length: rows }, () => 1) : [rows];
  for (const size of groups) {
    const queries = new Float32Array(size * headDim);
    for (let row = 0; row < size; row++) queries.set(queryRow(cache), row * headDim);
    if (!queries.every(Number.isFinite)) continue;
    const work = bench.query(queries);
    const parts = partsOf(work, sparse);
    const maxReadShare = pick([0.8, 1]);
    const inParts =
      parts === 1 ? undefined : attendInParts(work, sparse.certified as CertifiedTarget, maxReadShare, parts);
    const { outputs, results } = inParts ?? attendByPolicy(work, sparse, maxReadShare);
    for (const [row, result] of results.entries()) {
      const read = inParts?.read[row] ?? readPositions(bench, work, sparse, result, row);
      const query = queries.subarray(row * headDim, (row + 1) * headDim);
      const output = outputs.subarray(row * headDim, (row + 1) * headDim);
      const violation = violationOf(cache, query, output, result, read, sparse.certified?.tailMass);
      counts.rows++;
      if (result.outcome === 'full') counts.full++;
      if (violation === undefined) continue;
      counts.violations++;
      if (counts.violations <= 20)
        console.error(`${JSON.stringify(spec)}, ${what}, row ${row} of ${size}: ${violation}`);
    }
  }
}

/** In how many parts a step is done: one, or where it can be split one for each of some threads. */
function partsOf({ n, segments }: GroupWork, { certified }: SparseParts): number {
  const parts = pick([1, 1, 2, 3]);
  return certified?.atOnce === true && n >= parts * PAGE_KEYS && segments.length === 1 ? parts : 1;
}

function readPositions(
  bench: HeadBench,
  work: GroupWork,
  sparse: SparseParts,
  result: RowResult,
  row: number,
): Int32Array {
  const byThreshold = result.outcome === 'certificateFallback' || sparse.certified?.atOnce;
  return byThreshold ? certifiedPositions(work, row) : bench.selectedPositions(work, result.keysExact);
}

/** Counts by the kind of cache and keys. */
type CountsByKind = Map<string, Counts>;

function addCounts(all: CountsByKind, name: string, { rows, full, violations }: Counts): void {
  const sum = all.get(name) ?? { rows: 0, full: 0, violations: 0 };
  all.set(name, { rows: sum.rows + rows, full: sum.full + full, violations: sum.violations + violations });
}

/** Tries `rowCount` rows in this process. */
function tryRows(): CountsByKind {
  const all: CountsByKind = new Map();
  const started = performance.now();
  const end = started + Number(flags.minutes) * 60_000;
  let [rows, violations] = [0, 0];
  while (rows < rowCount && performance.now() < end) {
    for (const precision of PRECISIONS) {
      for (const shape of KEY_SHAPE_NAMES) {
        const cache = createCache(shape, precision);
        const counts: Counts = { rows: 0, full: 0, violations: 0 };
        while (counts.rows < ROWS_PER_CACHE) tryGroup(cache, counts);
        addCounts(all, `${precision.padEnd(5)} ${shape}`, counts);
        rows += counts.rows;
        violations += counts.violations;
      }
    }
    const seconds = Math.round((performance.now() - started) / 1000);
    if (process.stderr.isTTY) process.stderr.write(`\r${rows} rows, ${violations} violations, ${seconds} s`);
  }
  if (process.stderr.isTTY) process.stderr.write('\n');
  return all;
}

/** Tries them in several processes, each with a part of the rows. */
async function tryInProcesses(): Promise<CountsByKind> {
  const all: CountsByKind = new Map();
  const rows = String(Math.ceil(rowCount / processes));
  const run = async (number: number) => {
    const options = ['--seed', String(seed + number), '--minutes', flags.minutes, '--json'];
    const args = [...process.execArgv, fileURLToPath(import.meta.url), rows, ...options];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args).catch(
      // A process that found a violation has printed its counts all the same.
      (error: Error & { code?: unknown; stdout: string; stderr: string }) => {
        if (error.code !== 1 || error.stdout === '') throw error;
        return error;
      },
    );
    process.stderr.write(stderr);
    for (const [name, counts] of Object.entries(JSON.parse(stdout) as Record<string, Counts>))
      addCounts(all, name, counts);
  };
  await Promise.all(Array.from({ length: processes }, (_, number) => run(number)));
  return all;
}

const all = processes > 1 ? await tryInProcesses() : tryRows();
const kinds = [...all].sort(([a], [b]) => a.localeCompare(b));
const sum = (key: keyof Counts) => kinds.reduce((sum, [, counts]) => sum + counts[key], 0);
if (flags.json) console.log(JSON.stringify(Object.fromEntries(kinds)));
else {
  for (const [name, { rows, full, violations }] of kinds) {
    console.log(`${name.padEnd(28)} ${rows} rows, ${full} read all keys, ${violations} violations`);
  }
  console.log(`${sum('rows')} rows, ${sum('full')} of which read all keys: ${sum('violations')} violations`);
}
process.exitCode = sum('violations') === 0 ? 0 : 1;
