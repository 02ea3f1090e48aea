import { describe, expect, it } from 'vitest';
import { createHeadBench, type HeadBenchOptions } from '../../test/head-bench.ts';
import { KEY_SHAPE_NAMES, keysOfShape } from '../../test/key-shapes.ts';
import { attention64, distance } from '../../test/plain-attention.ts';
import { createRandom } from '../../test/random.ts';
import { attendByPolicy, type GroupResult } from '../attention/decode.ts';
import { parseBudget } from '../budgets/index.ts';
import type { ErrorEstimate } from '../group/estimates.ts';
import { KERNELS, type KernelsName } from '../kernels/index.ts';
import { createPolicy, type SparseParts } from '../policies/policy.ts';
import { attendSieve, type SieveStepResult } from './step.ts';

const policyOf = (budget: string): SparseParts => createPolicy({ policy: 'sieve', budget }).sparse as SparseParts;

/** The policy `sieve` without its step in one call. */
function stepByStep(budget: string): SparseParts {
  const { step: _, ...parts } = policyOf(budget);
  return parts;
}

const CASES = [
  [64, 1500, 3, 'fixed:40'],
  [64, 1472, 1, 'fixed:200'],
  [32, 777, 4, 'fraction:0.05'],
  [128, 640, 3, 'fixed:5'],
] as const;

function expectSame(actual: GroupResult, expected: GroupResult, headDim: number, what: string): void {
  for (let row = 0; row < expected.results.length; row++) {
    const rowOf = ({ outputs }: GroupResult) => outputs.subarray(row * headDim, (row + 1) * headDim);
    const truth = Float64Array.from(rowOf(expected));
    const size = Math.hypot(...truth);
    expect(distance(rowOf(actual), truth).norm, what).toBeLessThanOrEqual(1e-4 * size + 1e-30);
    const [a, b] = [actual.results[row], expected.results[row]];
    expect({ ...a, tailMass: 0, outputError: 0 }).toEqual({ ...b, tailMass: 0, outputError: 0 });
    expect(a?.tailMass).toBeCloseTo(b?.tailMass as number, 4);
    const error = b?.outputError as number;
    if (Number.isFinite(error)) expect(Math.abs((a?.outputError as number) - error)).toBeLessThan(0.01 * error + 1e-4);
  }
}

describe.for(Object.keys(KERNELS) as KernelsName[])('a step of the sieve in one call of the %s kernels', (kernels) => {
  it.for(KEY_SHAPE_NAMES)('is what it is kernel by kernel, for keys that are %s', (shape) => {
    for (const [headDim, n, rows, budget] of CASES) {
      const random = createRandom(n);
      const { keys, values, query } = keysOfShape(shape, random, n, headDim);
      const bench = createHeadBench({ headDim, keys, values, encodings: ['int4'], kernels });
      const queries = Float32Array.from([...query, ...random.normals((rows - 1) * headDim)]);
      const whole = attendByPolicy(bench.query(queries), policyOf(budget));
      const steps = attendByPolicy(bench.query(queries), stepByStep(budget));
      expectSame(whole, steps, headDim, `${shape}, ${budget}`);
    }
  });

  it('is full attention to within the rounding of 4 bits where the sample has all keys', () => {
    const { bench, queries } = benchOf({ kernels });
    const truth = attention64(bench.problem(queries)).outputs;
    const step = attendSieve(bench.query(queries), parseBudget('fixed:130'));
    const { outputs, keysExact, keysQuantized, errors } = step as SieveStepResult;
    expect(keysExact + keysQuantized).toBe(300);
    expect(keysQuantized).toBeGreaterThan(100);
    for (let row = 0; row < 2; row++) {
      const error = distance(outputs.subarray(row * 64, (row + 1) * 64), truth.subarray(row * 64, (row + 1) * 64)).norm;
      const estimate = (errors[row] as ErrorEstimate).error;
      expect(error).toBeLessThan(3 * estimate);
      expect(error).toBeGreaterThan(estimate / 10);
    }
  });
});

describe('a step of the sieve', () => {
  it('reads all keys where the budget covers them, and is done kernel by kernel for budgets of mass', () => {
    const { bench, queries } = benchOf();
    const work = bench.query(queries);
    for (const budget of ['fixed:300', 'mass:0.1']) expect(attendSieve(work, parseBudget(budget))).toBeUndefined();
    expect(attendByPolicy(work, policyOf('fixed:300')).results[0]?.outcome).toBe('full');
  });
});

/** Two queries over 300 keys of 64 dimensions. */
function benchOf(options: Pick<HeadBenchOptions, 'kernels'> = {}) {
  const random = createRandom(3);
  const numbers = { keys: random.normals(300 * 64), values: random.normals(300 * 64) };
  return {
    bench: createHeadBench({ headDim: 64, ...numbers, encodings: ['int4'], ...options }),
    queries: random.normals(128),
  };
}
