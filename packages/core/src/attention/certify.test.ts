/** Certificates that are asked for: whatever the keys, a row reads on until what it leaves is as little as was said. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createHeadBench, unreadMass } from '../../test/head-bench.ts';
import { KEY_SHAPE_NAMES, keysOfShape } from '../../test/key-shapes.ts';
import { attention64, distance, score64 } from '../../test/plain-attention.ts';
import { createRandom } from '../../test/random.ts';
import { parseBudget } from '../budgets/index.ts';
import { halfToFloat } from '../kernels/half.ts';
import { PLANES } from '../kernels/layout.ts';
import { createPolicy, POLICY_NAMES, type SparsePolicy } from '../policies/policy.ts';
import createInt8Scan from '../selectors/int8-scan.ts';
import { attendQuery } from './sparse.ts';

const MASSES = [0.1, 0.05, 0.01, 0.001];
const LENGTHS = [1, 2, 63, 64, 65, 200, 700];
const HEAD_DIM = 64;
const POLICIES = POLICY_NAMES.filter((name) => name !== 'dense');

const open = (policy: string, certify: number) => createPolicy({ policy, budget: 'fixed:20', certify }) as SparsePolicy;

const norm = (row: ArrayLike<number>): number => Math.sqrt(Array.from(row).reduce((sum, x) => sum + x * x, 0));

describe('certify', () => {
  it.for(KEY_SHAPE_NAMES)('holds in float64 for keys that are %s, by every policy', (shape) => {
    for (const precision of ['f16', 'f32'] as const) {
      const { keys, values, query: row } = keysOfShape(shape, createRandom(3), 700, HEAD_DIM);
      const bench = createHeadBench({ headDim: HEAD_DIM, keys, values, precision, planes: PLANES });
      for (const n of LENGTHS) {
        const exact = attention64(bench.problem(row, n)).outputs;
        for (const policy of POLICIES) {
          for (const mass of MASSES) {
            const what = `${policy}, ${mass} of ${n}, ${precision}`;
            const query = bench.query(row, n);
            const { outputs, results } = attendQuery(query, open(policy, mass));
            const [{ kind, tailMass, outputError, keysRead, outcome }] = results as [(typeof results)[0]];
            expect(kind, what).toBe('certified');
            expect(tailMass, what).toBeLessThanOrEqual(mass);
            if (keysRead === n) expect(outcome, what).toBe('dense');
            const read =
              outcome === 'dense' ? Int32Array.from({ length: n }, (_, i) => i) : bench.chosen(query, keysRead);
            expect(unreadMass(bench.problem(row, n), n, read), what).toBeLessThanOrEqual(tailMass);
            // Float32 comes on top, as it does in dense attention.
            const score = (HEAD_DIM + 4) * 2 ** -24 * (query.norms[0] as number) * query.keyNorm;
            const rounding = (Math.expm1(2 * score) + (100 + n) * 2 ** -24) * query.valueNorm;
            const error = distance(outputs, exact).norm;
            expect(error, what).toBeLessThanOrEqual(outputError * norm(exact) + rounding);
          }
        }
      }
    }
  });

  it('extends the rows of a group one by one', () => {
    const random = createRandom(4);
    const [keys, values] = [random.normals(600 * HEAD_DIM), random.normals(600 * HEAD_DIM)];
    const bench = createHeadBench({ headDim: HEAD_DIM, keys, values, planes: PLANES });
    // A flat head, and two that are not.
    const rows = Float32Array.from(
      random.normals(3 * HEAD_DIM),
      (x, i) => x * ([0.01, 12, 3][Math.floor(i / HEAD_DIM)] ?? 0),
    );
    const { outputs, results } = attendQuery(bench.query(rows), open('sieve', 0.05));
    expect(results.map(({ outcome }) => outcome)).toEqual(['dense', 'extended', 'extended']);
    expect(results.every(({ kind, tailMass }) => kind === 'certified' && tailMass <= 0.05)).toBe(true);
    const truth = attention64(bench.problem(rows)).outputs;
    for (const [row, { outputError }] of results.entries()) {
      const range = [row * HEAD_DIM, (row + 1) * HEAD_DIM] as const;
      const exact = truth.subarray(...range);
      expect(distance(outputs.subarray(...range), exact).norm).toBeLessThanOrEqual((outputError + 1e-5) * norm(exact));
    }
  });

  it('leaves alone what is certified already', () => {
    const { keys, values, query } = keysOfShape('peaked', createRandom(5), 500, HEAD_DIM);
    const bench = createHeadBench({ headDim: HEAD_DIM, keys, values, planes: PLANES });
    const policy = createPolicy({ policy: 'topk', budget: 'fixed:400', certify: 0.5 }) as SparsePolicy;
    expect(attendQuery(bench.query(query), policy).results[0]).toMatchObject({ outcome: 'chosen', keysRead: 400 });
  });
});

const CAPTURE = new URL('../../../../../shared/captures/smollm2-8k.safetensors', import.meta.url);

describe.skipIf(!existsSync(CAPTURE))('on the heads of a real model', () => {
  it('certifies every query, with at most a quarter more keys than the oracle needs', () => {
    const heads = readCapture();
    expect(heads.length).toBe(6);
    const selector = createInt8Scan();
    for (const mass of MASSES) {
      let [taken, needed] = [0, 0];
      for (const { keys, values, queries } of heads) {
        const bench = createHeadBench({ headDim: HEAD_DIM, keys, values, planes: ['int8'] });
        const last = queries.length / HEAD_DIM / 3;
        for (let i = 0; i < last; i += 32) {
          const n = bench.n - last + i + 1;
          const row = queries.subarray(i * HEAD_DIM, (i + 1) * HEAD_DIM);
          const query = bench.query(row, n);
          const { count } = selector.select(query, parseBudget(`mass:${mass}`));
          const problem = bench.problem(row, n);
          expect(unreadMass(problem, n, bench.chosen(query, count))).toBeLessThanOrEqual(mass);
          taken += count;
          needed += oracleKeys(
            Float64Array.from({ length: n }, (_, j) => score64(problem, 0, j)),
            mass,
          );
        }
      }
      expect(taken / needed).toBeLessThanOrEqual(1.25);
    }
  });
});

/** The fewest keys that leave at most `mass`. */
function oracleKeys(scores: Float64Array, mass: number): number {
  const sorted = scores.sort().reverse();
  const weights = sorted.map((score) => Math.exp(score - (sorted[0] as number)));
  let left = mass * weights.reduce((a, b) => a + b, 0);
  let count = weights.length;
  while (count > 0 && left >= (weights[count - 1] as number)) left -= weights[--count] as number;
  return count;
}

/** Keys and values (n, d), and queries (3, last, d), of every head of the capture. */
function readCapture(): { keys: Float32Array; values: Float32Array; queries: Float32Array }[] {
  const file = readFileSync(CAPTURE);
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header: Record<string, { data_offsets: [number, number] }> = JSON.parse(file.toString('utf8', 8, start));
  const tensor = (name: string) => {
    const [from, to] = header[name]?.data_offsets ?? [0, 0];
    const halves = new Uint16Array(new Uint8Array(file.subarray(start + from, start + to)).buffer);
    return Float32Array.from(halves, halfToFloat);
  };
  const names = Object.keys(header).filter((name) => name.endsWith('.k'));
  return names.map((name) => {
    const head = name.slice(0, -2);
    return { keys: tensor(`${head}.k`), values: tensor(`${head}.v`), queries: tensor(`${head}.q`) };
  });
}
