/** With a budget of all keys, every policy is dense attention to float precision: by all kernels, in all precisions. */
import { describe, expect, it } from 'vitest';
import { createBench, errorRatio } from '../../test/attention-bench.ts';
import { createRandom } from '../../test/random.ts';
import { sparsePolicyNames } from '../../test/variants.ts';
import { createAttention } from '../attention/attention.ts';
import { ENCODINGS, PRECISIONS } from '../kernels/layout.ts';

/** Single keys, a page and its edges, several pages with an open one. */
const LENGTHS = [1, 2, 63, 64, 65, 200, 1500];
/** The reference kernels take a second for these. */
const MOST_BY_REFERENCE = 200;
const SPARSE = sparsePolicyNames();
const CASES = (['wasm', 'reference'] as const).flatMap((kernels) =>
  PRECISIONS.flatMap((precision) => [64, 80].map((headDim) => ({ kernels, precision, headDim }))),
);

describe('a budget of all keys', () => {
  it.for(CASES)('is dense attention with $kernels kernels, $precision, d = $headDim', async (options) => {
    const shape = { layers: 1, keyValueHeads: 1, heads: 3, capacity: 1500, encodings: ENCODINGS };
    const bench = createBench(await createAttention({ ...shape, ...options }), createRandom(options.headDim));
    await using attention = bench.attention;
    for (const n of LENGTHS) {
      if (options.kernels === 'reference' && n > MOST_BY_REFERENCE) continue;
      bench.append(n - attention.cache.length);
      const queries = bench.queries(1, 3);
      for (const policy of SPARSE) {
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
