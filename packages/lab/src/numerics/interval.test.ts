import { describe, expect, it } from 'vitest';
import { createRandom } from '../numerics/random.ts';
import { meanInterval } from './interval.ts';

/** Skewed, as divergences are: mean 1, variance 1. */
const exponential = (count: number, seed: number): number[] => {
  const random = createRandom(seed);
  return Array.from({ length: count }, () => -Math.log(1 - random.uniform()));
};

describe('the interval of a mean', () => {
  it('holds the true mean in most cases, and not in all', () => {
    let held = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const [low, high] = meanInterval(exponential(50, seed), seed);
      if (low <= 1 && 1 <= high) held++;
    }
    expect(held).toBeGreaterThanOrEqual(51);
    expect(held).toBeLessThan(60);
  });

  it('is as wide as the central limit says, and the same for the same seed', () => {
    const numbers = exponential(400, 5);
    const [low, high] = meanInterval(numbers, 3);
    expect(high - low).toBeGreaterThan(0.75 * 2 * 1.96 * 0.05);
    expect(high - low).toBeLessThan(1.25 * 2 * 1.96 * 0.05);
    expect(meanInterval(numbers, 3)).toEqual([low, high]);
    expect(meanInterval(numbers, 4)).not.toEqual([low, high]);
  });

  it('is one number where all are equal', () => {
    expect(meanInterval([2, 2, 2], 1)).toEqual([2, 2]);
  });
});
