import { describe, expect, it } from 'vitest';
import { createHeadBench } from '../../test/head-bench.ts';
import { KEY_SHAPE_NAMES, keysOfShape } from '../../test/key-shapes.ts';
import { distance } from '../../test/plain-attention.ts';
import { createRandom } from '../../test/random.ts';
import { attendByPolicy } from '../attention/decode.ts';
import { createPolicy, type SparsePolicy } from '../policies/policy.ts';

const policyOf = (budget: string): SparsePolicy => createPolicy({ policy: 'sieve', budget }) as SparsePolicy;

/** The same policy, done by its parts. */
function byParts(budget: string): SparsePolicy {
  const { step: _, ...parts } = policyOf(budget);
  return parts;
}

describe('a step of the sieve in one call', () => {
  it.for(KEY_SHAPE_NAMES)('is what its parts give, for keys that are %s', (shape) => {
    for (const [headDim, n, rows, budget] of [
      [64, 1500, 3, 'fixed:40'],
      [64, 1472, 1, 'fixed:200'],
      [32, 777, 4, 'fraction:0.05'],
      [128, 640, 3, 'fixed:5'],
    ] as const) {
      const random = createRandom(n);
      const { keys, values, query } = keysOfShape(shape, random, n, headDim);
      const bench = createHeadBench({ headDim, keys, values, encodings: ['int4'] });
      const queries = Float32Array.from([...query, ...random.normals((rows - 1) * headDim)]);
      const whole = attendByPolicy(bench.query(queries), policyOf(budget));
      const parts = attendByPolicy(bench.query(queries), byParts(budget));
      for (let row = 0; row < rows; row++) {
        const [a, b] = [whole, parts].map(({ outputs }) => outputs.subarray(row * headDim, (row + 1) * headDim));
        const wanted = Float64Array.from(b as Float32Array);
        const size = Math.sqrt(wanted.reduce((sum, x) => sum + x * x, 0));
        expect(distance(a as Float32Array, wanted).norm, `${shape}, row ${row}`).toBeLessThanOrEqual(
          1e-4 * size + 1e-30,
        );
        const [found, truth] = [whole.results[row], parts.results[row]];
        expect({ ...found, tailMass: 0, outputError: 0 }).toEqual({ ...truth, tailMass: 0, outputError: 0 });
        expect(found?.tailMass).toBeCloseTo(truth?.tailMass as number, 4);
        const error = truth?.outputError as number;
        if (Number.isFinite(error))
          expect(Math.abs((found?.outputError as number) - error)).toBeLessThan(0.01 * error + 1e-4);
      }
    }
  });

  it('reads all keys where the budget has them all, and is done by parts for budgets of mass', () => {
    const random = createRandom(3);
    const bench = createHeadBench({
      headDim: 64,
      keys: random.normals(300 * 64),
      values: random.normals(300 * 64),
      encodings: ['int4'],
    });
    const queries = random.normals(64);
    const query = bench.query(queries);
    expect(policyOf('fixed:300').step?.attend(query, policyOf('fixed:300').budget)).toBeUndefined();
    expect(policyOf('mass:0.1').step?.attend(query, policyOf('mass:0.1').budget)).toBeUndefined();
    expect(attendByPolicy(query, policyOf('fixed:300')).results[0]?.outcome).toBe('full');
  });
});
