/** Certificates that are asked for: whatever the keys, a row reads on until what it leaves is as little as was said. */
import { describe, expect, it } from 'vitest';
import { createHeadBench, unreadMass } from '../../test/head-bench.ts';
import { KEY_SHAPE_NAMES, keysOfShape } from '../../test/key-shapes.ts';
import { attention64, distance } from '../../test/plain-attention.ts';
import { createRandom } from '../../test/random.ts';
import { PLANES } from '../kernels/layout.ts';
import { createPolicy, POLICY_NAMES, type SparsePolicy } from '../policies/policy.ts';
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
