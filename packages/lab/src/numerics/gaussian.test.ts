import { describe, expect, it } from 'vitest';
import { createRandom } from '../../../core/test/random.ts';
import { gaussianExponent, gaussianKeys, normalQuantile, upperTail } from './gaussian.ts';

describe('upperTail', () => {
  it.for([
    [0, 0.5],
    [1, 0.158655253931457],
    [2.9, 0.00186581330038404],
    [3.1, 0.000967603213218359],
    [6, 9.86587645037698e-10],
    [-2, 0.977249868051821],
  ] as const)('of %f is %f', ([x, probability]) => {
    expect(upperTail(x) / probability).toBeCloseTo(1, 11);
  });

  it('is undone by the quantile', () => {
    for (const share of [1e-6, 0.01, 0.05, 0.3, 0.5, 0.9, 0.999])
      expect(1 - upperTail(normalQuantile(share))).toBeCloseTo(share, 11);
  });
});

describe('gaussianKeys', () => {
  it('agrees with Gaussian scores that were drawn', () => {
    const random = createRandom(3);
    const n = 60_000;
    for (const [spread, share] of [
      [1, 0.1],
      [2, 0.05],
    ] as const) {
      const weights = Float64Array.from({ length: n }, () => Math.exp(spread * random.normal())).sort();
      const total = weights.reduce((a, b) => a + b);
      let [unread, dropped] = [0, 0];
      while (unread + (weights[dropped] as number) <= share * total) unread += weights[dropped++] as number;
      expect((n - dropped) / gaussianKeys(n, spread, share)).toBeCloseTo(1, 1);
    }
  });

  it('has an exponent that drifts to 1', () => {
    const exponents = [2 ** 10, 2 ** 14, 2 ** 20, 2 ** 40].map((n) => gaussianExponent(n, 2, 0.05));
    expect(exponents).toEqual([...exponents].sort((a, b) => a - b));
    expect(exponents[3]).toBeGreaterThan(0.9);
    expect(gaussianKeys(1000, 0, 0.05)).toBeCloseTo(950, 8);
  });
});
