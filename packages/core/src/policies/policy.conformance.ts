/** What every policy that selects keys must do: those of this package, and those of others. */
import { describe, expect, it } from 'vitest';
import { createBench, errorRatio, headRows } from '../../test/attention-bench.ts';
import { certifiedPositions } from '../../test/certified-positions.ts';
import { createHeadBench, unreadMass } from '../../test/head-bench.ts';
import { KEY_SHAPE_NAMES, keysOfShape } from '../../test/key-shapes.ts';
import { attention64, distance, positionsBelow } from '../../test/plain-attention.ts';
import { createRandom } from '../../test/random.ts';
import { arenaBytesFor } from '../../test/small-arena.ts';
import { createAttention } from '../attention/attention.ts';
import { attendByPolicy } from '../attention/decode.ts';
import { maxKeys } from '../budgets/budget.ts';
import { parseBudget } from '../budgets/index.ts';
import type { GroupWork } from '../group/group-work.ts';
import { ENCODINGS, PRECISIONS } from '../kernels/layout.ts';
import { createPolicy, policyEncodings, type SparseParts } from './policy.ts';

const SHAPE = { layers: 1, keyValueHeads: 2, heads: 4, headDim: 32, capacity: 700 } as const;
const BUDGETS = ['fixed:1', 'fixed:3', 'fixed:100', 'fraction:0.3', 'power:3,0.6', 'log:12', 'mass:0.1', 'mass:1'];
/** Seven slabs of the eleven in a region. */
const TWO_REGIONS = { arenaBytes: arenaBytesFor(7, { ...SHAPE, encodings: ENCODINGS, threads: 2 }), threads: 2 };
/** Budgets of all keys. */
const WHOLE = ['fixed:700', 'fraction:1', 'power:1,1', 'log:1e6'];
/** Single keys, a page and its edges, several pages with an open one. */
const LENGTHS = [1, 2, 63, 64, 65, 200, 1500];
/** The reference kernels take a second for these. */
const MAX_REFERENCE_KEYS = 200;
const CASES = (['wasm', 'reference'] as const).flatMap((kernels) =>
  PRECISIONS.flatMap((precision) => [64, 80].map((headDim) => ({ kernels, precision, headDim }))),
);
const CERTIFIED_MASSES = [0.1, 0.05, 0.01, 0.001];
const CERTIFIED_LENGTHS = [1, 2, 63, 64, 65, 200, 700];
/** A length that 1 / sqrt(d) has to be rounded for. */
const HEAD_DIM = 80;

/** Tries policies, by their names. */
export function describePolicies(policies: readonly string[]): void {
  describe.for(policies)('the policy %s', (policy) => {
    it('is dense attention where the budget is n', async () => {
      for (const options of [{}, TWO_REGIONS]) {
        const bench = await benchOf(1, options);
        await using attention = bench.attention;
        for (const budget of WHOLE) {
          const queries = bench.queries(20, 2);
          const { outputs, report } = attention.attend({
            layer: 0,
            position: 680,
            queries,
            policy: { policy, budget },
          });
          expect(errorRatio(bench, 0, 680, queries, outputs), budget).toBeLessThan(2);
          expect(report, budget).toMatchObject({
            keysExact: report.keys,
            tailMass: { sum: 0, max: 0 },
            outputError: { sum: 0, max: 0 },
            certificate: 'certified',
          });
        }
      }
    });

    it('reads as many keys as each budget says, and is no further off than it says', async () => {
      const bench = await benchOf(2);
      await using attention = bench.attention;
      const [position, count] = [650, 50];
      for (const budget of BUDGETS) {
        const queries = bench.queries(count, 4);
        const request = { layer: 0, position, queries, policy: { policy, budget }, keepBudget: true };
        const { outputs, report } = attention.attend(request);
        const parsed = parseBudget(budget);
        const { tailMass } = parsed;
        const most = Array.from(
          { length: count },
          (_, i) => 4 * maxKeys(parsed, { n: position + i + 1, layer: 0, head: 0 }),
        );
        const allowed = most.reduce((a, b) => a + b, 0);
        // Of a page that is not full yet there are no codes: its keys, and the sinks, may come on top.
        const codes = policyEncodings({ policy, budget }).length > 0;
        if (codes) expect(report.keysExact, budget).toBeLessThanOrEqual(allowed + 4 * count * 68);
        else if (tailMass === undefined) expect(report.keysExact, budget).toBe(allowed);
        else expect(report.keysExact, budget).toBeLessThanOrEqual(allowed);
        expect(report.rows).toBe(4 * count);
        expect(report.tailMass.max).toBeLessThanOrEqual(1);
        if (tailMass !== undefined && policy === 'topk')
          expect(report.tailMass.max).toBeLessThanOrEqual(tailMass + 1e-3);
        let worst = 0;
        for (let head = 0; head < SHAPE.heads; head++) {
          const truth = attention64(bench.problem(0, head, position, queries)).outputs;
          const actual = headRows(outputs, SHAPE.heads, SHAPE.headDim, head);
          for (let row = 0; row < count; row++) {
            const range = [row * SHAPE.headDim, (row + 1) * SHAPE.headDim] as const;
            const exact = truth.subarray(...range);
            worst = Math.max(worst, distance(actual.subarray(...range), exact).norm / Math.hypot(...exact));
          }
        }
        if (report.certificate === 'certified')
          expect(report.outputError.max, budget).toBeGreaterThanOrEqual(worst - 1e-4);
        else expect(policy).toBe('sieve');
      }
    });
  });

  describe('a budget of all keys', () => {
    it.for(CASES)('is dense attention with $kernels kernels, $precision, d = $headDim', async (options) => {
      const shape = { layers: 1, keyValueHeads: 1, heads: 3, capacity: 1500, encodings: ENCODINGS };
      const bench = createBench(await createAttention({ ...shape, ...options }), createRandom(options.headDim));
      await using attention = bench.attention;
      for (const n of LENGTHS) {
        if (options.kernels === 'reference' && n > MAX_REFERENCE_KEYS) continue;
        bench.append(n - attention.cache.length);
        const queries = bench.queries(1, 3);
        for (const policy of policies) {
          for (const spec of [
            { policy, budget: `fixed:${n}` },
            { policy, budget: 'fraction:1', certify: 0.01 },
          ]) {
            const what = `${policy}, n = ${n}${spec.certify === undefined ? '' : ', certified'}`;
            const { outputs, report } = attention.attend({ layer: 0, position: n - 1, queries, policy: spec });
            expect(errorRatio(bench, 0, n - 1, queries, outputs), what).toBeLessThan(2);
            expect(report, what).toMatchObject({
              rows: 3,
              keysExact: 3 * n,
              keysQuantized: 0,
              tailMass: { sum: 0, max: 0 },
              outputError: { sum: 0, max: 0 },
              certificate: 'certified',
              rowsCertificateFallback: 0,
              rowsFull: 3,
            });
          }
        }
      }
    });
  });

  describe('certificates of outputs with a tail estimate', () => {
    it.for(KEY_SHAPE_NAMES)('hold for keys that are %s, where they say that they do', (shape) => {
      const headDim = 64;
      const { keys, values, query: row } = keysOfShape(shape, createRandom(9), 700, headDim);
      const bench = createHeadBench({ headDim, keys, values, encodings: ENCODINGS });
      for (const n of [1, 5, 64, 65, 200, 700]) {
        const exact = attention64(bench.problem(row, n)).outputs;
        for (const name of policies) {
          for (const budget of ['fixed:8', 'fixed:64', 'mass:0.1', 'mass:0.01']) {
            const what = `${name}, ${budget} of ${n}`;
            const policy = createPolicy({ policy: name, budget }).sparse as SparseParts;
            const query = bench.query(row, n);
            const { outputs, results } = attendByPolicy(query, policy);
            const { kind, tailMass, outputError, outcome } = results[0] as (typeof results)[0];
            expect(tailMass >= 0 && tailMass <= 1 && outputError >= 0, what).toBe(true);
            if (!policy.tail.requiresSample) expect(kind, what).toBe('certified');
            if (kind !== 'certified') continue;
            const rounding = outcome === 'full' ? roundingOf(query) : 0;
            expect(distance(outputs, exact).norm, what).toBeLessThanOrEqual(outputError * norm(exact) + rounding);
          }
        }
      }
    });
  });

  describe('a certificate that was asked for', () => {
    it.for(KEY_SHAPE_NAMES)('holds in float64 for keys that are %s, by every policy', (shape) => {
      for (const precision of PRECISIONS) {
        const { keys, values, query: row } = keysOfShape(shape, createRandom(3), 700, HEAD_DIM);
        const bench = createHeadBench({ headDim: HEAD_DIM, keys, values, precision, encodings: ENCODINGS });
        for (const n of CERTIFIED_LENGTHS) {
          const exact = attention64(bench.problem(row, n)).outputs;
          for (const policy of policies) {
            for (const mass of CERTIFIED_MASSES) {
              const what = `${policy}, ${mass} of ${n}, ${precision}`;
              const query = bench.query(row, n);
              const { outputs, results } = attendByPolicy(query, open(policy, mass));
              const [{ kind, tailMass, outputError, keysExact, outcome }] = results as [(typeof results)[0]];
              expect(kind, what).toBe('certified');
              expect(tailMass, what).toBeLessThanOrEqual(mass);
              if (keysExact === n) expect(outcome, what).toBe('full');
              const read = {
                full: () => positionsBelow(n),
                asSelected: () => bench.selectedPositions(query, keysExact),
                certificateFallback: () => certifiedPositions(query),
              }[outcome]();
              expect(unreadMass(bench.problem(row, n), n, read), what).toBeLessThanOrEqual(tailMass);
              const error = distance(outputs, exact).norm;
              const rounding = outcome === 'full' ? roundingOf(query) : 0;
              expect(error, what).toBeLessThanOrEqual(outputError * norm(exact) + rounding);
            }
          }
        }
      }
    });
  });
}

async function benchOf(seed: number, options = {}) {
  const bench = createBench(await createAttention({ ...SHAPE, encodings: ENCODINGS, ...options }), createRandom(seed));
  bench.append(700);
  return bench;
}

const open = (policy: string, certify: number) =>
  createPolicy({ policy, budget: 'fixed:20', certify }).sparse as SparseParts;

const norm = (row: ArrayLike<number>): number => Math.sqrt(Array.from(row).reduce((sum, x) => sum + x * x, 0));

/** What float32 may do to full attention; rotations of int8 rows add some more. */
function roundingOf({ queryNorms, maxKeyNorm, maxValueNorm, n, shape }: GroupWork, row = 0): number {
  const terms = shape.precision === 'int8' ? 3.3 * (shape.headDim + 40) : shape.headDim + 4;
  const score = terms * 2 ** -24 * (queryNorms[row] as number) * maxKeyNorm;
  return (Math.expm1(2 * score) + (100 + n) * 2 ** -24) * maxValueNorm;
}
