import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../test/errors.ts';
import { expectKeys } from '../budgets/budget.conformance.ts';
import { createPlanBudget } from '../budgets/plan.ts';
import { extrapolationError, shrinkToMean } from './extrapolate.ts';
import type { Extrapolation } from './law-file.ts';
import { meanKeysFor, type PlanningLaw, planBudget } from './plan.ts';

/** ln error^2 of 256 keys of 4,096 in each group, and its two slopes. */
type Surface = [level: number, keys: number, length: number];

const SURFACES: Surface[] = [
  [-7, -1, 0.3],
  [-5, -1.2, 0.5],
  [-6, -0.9, 0.9],
  [-9, -1.5, 0.1],
  [-4, -1, 1.1],
  [-8, -0.7, 0.6],
];

const tried = (fittedTo: number, error: number): Extrapolation => ({
  fittedTo,
  predicted: 8192,
  kinds: [{ kind: 'retrieval', heads: 12, bias: 0, error, unshrunkError: 2 * error }],
});

/** Three layers of four heads on two key-value heads, measured to 8,192 tokens. */
function lawOf(surfaces = SURFACES, rest: Partial<PlanningLaw> = {}): PlanningLaw {
  return {
    model: { name: 'invented', hash: '00', layers: 3, heads: 4, keyValueHeads: 2, headDim: 64 },
    lengths: [1024, 2048, 4096, 8192],
    budgets: [16, 64, 256],
    centre: { keys: Math.log(256), length: Math.log(4096) },
    groups: surfaces.map(([level, keys, length], i) => ({
      layer: Math.floor(i / 2),
      keyValueHead: i % 2,
      errors: [],
      laws: [],
      surface: { level, keys, length, standardErrors: [0.1, 0.1] },
    })),
    extrapolation: [tried(4096, 0.3), tried(2048, 0.5)],
    ...rest,
  };
}

/** Keys of the groups at n. */
function keysAt(law: PlanningLaw, total: string, n: number): number[] {
  const { budget, plan } = planBudget(law, total);
  const opened = createPlanBudget(budget, plan);
  return law.groups.map(({ layer, keyValueHead }) => {
    const [one, other] = [0, 1].map((head) => opened.keys({ n, layer, head: 2 * keyValueHead + head }));
    expect(one).toBe(other);
    return one as number;
  });
}

const mean = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0) / numbers.length;

const squaredErrors = (surfaces: readonly Surface[], keys: readonly number[], n: number): number[] =>
  surfaces.map(([level, slope, length], i) =>
    Math.exp(level + slope * Math.log((keys[i] as number) / 256) + length * Math.log(n / 4096)),
  );

describe('a plan by a law', () => {
  it.for(['mean:64', 'mean:256', 'mean:300'])('%s: is that mean at every length, and never more than n', (total) => {
    const target = Number(total.slice(5));
    for (const n of [512, 1024, 3000, 4096, 8192, 16_384, 100_000]) {
      expect(Math.abs(mean(keysAt(lawOf(), total, n)) - target)).toBeLessThan(1);
      expect(meanKeysFor(lawOf(), total, n)).toBeCloseTo(target, 3);
    }
    expect(keysAt(lawOf(), total, 40)).toEqual(new Array(6).fill(40));
  });

  it('leaves less error than a fixed budget of the same mean', () => {
    for (const n of [1024, 2048, 8192]) {
      const keys = keysAt(lawOf(), 'mean:128', n);
      const fixed = new Array(6).fill(128);
      expect(mean(squaredErrors(SURFACES, keys, n))).toBeLessThan(0.9 * mean(squaredErrors(SURFACES, fixed, n)));
    }
  });

  it.for(['error:0.1', 'error:0.02'])('%s: is left by the keys, which grow with n', (total) => {
    const target = Number(total.slice(6));
    let before = 0;
    for (const n of [1024, 2048, 4096, 8192]) {
      const keys = keysAt(lawOf(), total, n);
      const error = Math.sqrt(mean(squaredErrors(SURFACES, keys, n)));
      expect(error).toBeLessThan(target * 1.02);
      if (Math.min(...keys) > 16 && Math.max(...keys) < n) expect(error).toBeGreaterThan(target * 0.98);
      expect(mean(keys)).toBeGreaterThan(before);
      before = mean(keys);
    }
  });

  it.for([
    '',
    'mean',
    'mean:',
    'mean:0',
    'mean:x',
    'mean:1,2',
    'error:0',
    'error:2',
    'kl:0.01',
    'fixed:256',
    'toString:1',
  ])('refuses %o', (total) => {
    expectError('invalid-argument', () => planBudget(lawOf(), total));
  });

  it('is a budget that holds, whatever the law', () => {
    const surface = fc.tuple(
      fc.double({ min: -20, max: 2, noNaN: true }),
      fc.double({ min: -3, max: -0.05, noNaN: true }),
      fc.double({ min: -2, max: 3, noNaN: true }),
    );
    const total = fc.oneof(
      fc.double({ min: 1, max: 1e6, noNaN: true }).map((k) => `mean:${k}`),
      fc.double({ min: 1e-6, max: 1, noNaN: true }).map((error) => `error:${error}`),
    );
    fc.assert(
      fc.property(fc.array(surface, { minLength: 6, maxLength: 6 }), total, (surfaces, text) => {
        const { budget, plan } = planBudget(lawOf(surfaces), text);
        const lengths = [1, 2, 31, 500, 8192, 10_000, 2 ** 22];
        for (const [layer, head] of [
          [0, 0],
          [2, 3],
        ] as const) {
          const keys = expectKeys(createPlanBudget(budget, plan), { layer, head }, lengths);
          // Never below the fewest keys that were measured.
          expect(keys.every((each, i) => each >= Math.min(16, lengths[i] as number))).toBe(true);
        }
      }),
      { numRuns: 25, seed: 4 },
    );
  });
});

describe('past the lengths that were measured', () => {
  const spread = (keys: readonly number[]) => Math.max(...keys) / Math.min(...keys);

  it('budgets are drawn together, the more the further, and the more the further off shorter laws were', () => {
    const at = (n: number, law = lawOf()) => spread(keysAt(law, 'mean:128', n));
    const bold = lawOf(SURFACES, { extrapolation: [tried(4096, 0)] });
    expect(at(16_384)).toBeLessThan(at(16_384, bold));
    expect(at(1e6)).toBeLessThan(at(65_536, bold));
    const worse = lawOf(SURFACES, { extrapolation: [tried(4096, 3)] });
    expect(at(16_384, worse)).toBeLessThan(at(16_384));
    expect(at(8192, worse)).toBe(at(8192));
    // Where it was never tried, what is past is fixed.
    expect(at(16_384, lawOf(SURFACES, { extrapolation: [] }))).toBe(1);
  });

  it('the error of a law grows by the worst rate that was found', () => {
    const law = lawOf();
    expect(extrapolationError(law, 8192)).toBe(0);
    expect(extrapolationError(law, 16_384)).toBeCloseTo(0.3, 9);
    expect(
      extrapolationError(lawOf(SURFACES, { extrapolation: [tried(4096, 0.2), tried(2048, 0.5)] }), 16_384),
    ).toBeCloseTo(0.25, 9);
  });

  it('keys are drawn to their mean, which stays, by the share that is no error', () => {
    const keys = () => Float64Array.of(Math.exp(1), Math.exp(3));
    expect(shrinkToMean(keys(), 0)).toEqual(keys());
    // The spread has a variance of 1, as the error: half of it is left.
    const [low = 0, high = 0] = shrinkToMean(keys(), 1);
    expect(Math.log(high / low)).toBeCloseTo(1, 9);
    expect(low + high).toBeCloseTo(Math.exp(1) + Math.exp(3), 9);
    expect(new Set(shrinkToMean(keys(), Number.POSITIVE_INFINITY)).size).toBe(1);
  });
});
