/** Certificates on the heads of a real model at 8,192 keys: none is broken in float64, and they cost little more than the oracle. */
import { describe, expect, it } from 'vitest';
import { hasCapture, readCapture } from '../../test/captures.ts';
import { certifiedPositions } from '../../test/certified-positions.ts';
import { createHeadBench, type HeadBench } from '../../test/head-bench.ts';
import { attention64, distance, score64 } from '../../test/plain-attention.ts';
import { sparsePolicyNames } from '../../test/variants.ts';
import { parseBudget } from '../budgets/index.ts';
import type { GroupWork } from '../group/group-work.ts';
import { ENCODINGS } from '../kernels/layout.ts';
import { createPolicy, type PolicySpec, type SparseParts } from '../policies/policy.ts';
import createInt8Scan from '../selectors/int8-scan.ts';
import { attendByPolicy } from './decode.ts';
import type { RowResult } from './row-result.ts';

const CAPTURE = 'smollm2-8k';
/** Every Nth captured position is tried. */
const EVERY = 8;
const MASSES = [0.1, 0.05, 0.01, 0.001];
const SPARSE = sparsePolicyNames();
const SPECS: PolicySpec[] = SPARSE.flatMap((policy) => [
  { policy, budget: 'fixed:256' },
  { policy, budget: 'fixed:256', certify: 0.05 },
]);

/** One query row over the first n keys, and the truth about it. */
interface Row {
  bench: HeadBench;
  n: number;
  /** (d), not scaled. */
  query: Float32Array;
  /** Shares of the softmax (n). */
  shares: Float64Array;
}

/** Every row that is tried, head after head. */
function* capturedRows(): Generator<Row> {
  for (const { headDim, keys, values, queries, heads, lastPositions } of readCapture(CAPTURE)) {
    const bench = createHeadBench({ headDim, keys, values, encodings: ENCODINGS });
    for (let head = 0; head < heads; head++) {
      for (let i = lastPositions - 1; i >= 0; i -= EVERY) {
        const n = bench.n - lastPositions + i + 1;
        const query = queries.slice((head * lastPositions + i) * headDim, (head * lastPositions + i + 1) * headDim);
        yield { bench, n, query, shares: sharesOf(bench, query, n) };
      }
    }
  }
}

function sharesOf(bench: HeadBench, query: Float32Array, n: number): Float64Array {
  const problem = bench.problem(query, n);
  const scores = Float64Array.from({ length: n }, (_, j) => score64(problem, 0, j));
  const largest = scores.reduce((a, b) => Math.max(a, b));
  const weights = scores.map((score) => Math.exp(score - largest));
  const sum = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / sum);
}

const norm = (row: Float64Array): number => Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));

/** The mass of the keys that are not among `read`, summed from the smallest shares on. */
function massWithout(shares: Float64Array, read: Int32Array): number {
  const left = shares.slice();
  for (const position of read) left[position] = 0;
  return left.sort().reduce((a, b) => a + b, 0);
}

/** The fewest keys that leave at most `mass`. */
function oracleKeys(shares: Float64Array, mass: number): number {
  const sorted = shares.slice().sort();
  let left = 0;
  let dropped = 0;
  while (dropped < sorted.length && left + (sorted[dropped] as number) <= mass) left += sorted[dropped++] as number;
  return sorted.length - dropped;
}

const readPositions = (bench: HeadBench, work: GroupWork, { outcome, keysExact }: RowResult): Int32Array =>
  outcome === 'certificateFallback' ? certifiedPositions(work) : bench.selectedPositions(work, keysExact);

describe.skipIf(!hasCapture(CAPTURE))('on the heads of a real model', () => {
  it('no certificate is broken, by any policy', () => {
    let rows = 0;
    for (const { bench, n, query, shares } of capturedRows()) {
      const exact = attention64(bench.problem(query, n)).outputs;
      for (const spec of SPECS) {
        const what = `${spec.policy}, ${spec.certify ?? 'not certified'}, row ${rows}`;
        const work = bench.query(query, n);
        const { outputs, results } = attendByPolicy(work, createPolicy(spec).sparse as SparseParts);
        const [result] = results as [RowResult];
        const { kind, tailMass, outputError, outcome } = result;
        if (spec.certify !== undefined) {
          expect(kind, what).toBe('certified');
          expect(tailMass, what).toBeLessThanOrEqual(spec.certify);
        }
        if (kind !== 'certified') continue;
        const unread = outcome === 'full' ? 0 : massWithout(shares, readPositions(bench, work, result));
        expect(tailMass, what).toBeGreaterThanOrEqual(unread);
        // Float32 comes on top, as it does in dense attention.
        expect(distance(outputs, exact).norm, what).toBeLessThanOrEqual((outputError + 1e-4) * norm(exact));
      }
      rows++;
    }
    expect(rows).toBe((6 * 3 * 128) / EVERY);
  });

  it('int8 bounds certify a tail mass with at most a quarter more keys than the oracle needs', () => {
    const selector = createInt8Scan();
    const totals = MASSES.map((mass) => ({ mass, budget: parseBudget(`mass:${mass}`), taken: 0, needed: 0 }));
    for (const { bench, n, query, shares } of capturedRows()) {
      for (const total of totals) {
        const work = bench.query(query, n);
        const { count } = selector.select(work, total.budget);
        expect(massWithout(shares, bench.selectedPositions(work, count))).toBeLessThanOrEqual(total.mass);
        total.taken += count;
        total.needed += oracleKeys(shares, total.mass);
      }
    }
    for (const { mass, taken, needed } of totals) expect(taken / needed, `mass ${mass}`).toBeLessThanOrEqual(1.25);
  });
});
