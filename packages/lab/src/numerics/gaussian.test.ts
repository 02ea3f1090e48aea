import { describe, expect, it } from 'vitest';
import { gaussianKeys, normalQuantile, upperTail } from './gaussian.ts';
import { createRandom, normals } from './random.ts';

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
      const weights = Float64Array.from(normals(random, n), (z) => Math.exp(spread * z)).sort();
      const total = weights.reduce((a, b) => a + b);
      let [unread, dropped] = [0, 0];
      while (unread + (weights[dropped] as number) <= share * total) unread += weights[dropped++] as number;
      expect((n - dropped) / gaussianKeys(n, spread, share)).toBeCloseTo(1, 1);
    }
  });

  it.for([
    // Equal scores: all but the share is needed.
    [1000, 0, 0.05, 950],
    // Half of the softmax at a spread of 1: P(Z > 1) of the keys.
    [10_000, 1, 0.5, 1586.55],
    // Never fewer than one key, nor more than there are.
    [10, 30, 0.5, 1],
    [10, 0, 0, 10],
  ] as const)('of %d keys at spread %d that leave %d is %d', ([n, spread, share, keys]) => {
    expect(gaussianKeys(n, spread, share)).toBeCloseTo(keys, 1);
  });

  it('grows in proportion to n', () => {
    expect(gaussianKeys(2 ** 20, 2, 0.05) / gaussianKeys(2 ** 10, 2, 0.05)).toBeCloseTo(2 ** 10, 6);
  });
});
