import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  estimateMean,
  fitLine,
  jackknife,
  mean,
  median,
  quantile,
  rootMeanSquare,
  standardDeviation,
} from './statistics.ts';

describe('means', () => {
  it('are those of a few numbers', () => {
    expect(mean([1, 2, 6])).toBe(3);
    expect(rootMeanSquare([3, 4])).toBe(Math.sqrt(12.5));
    expect(standardDeviation([1, 3])).toBe(1);
    expect(mean(Float32Array.of(0.5, 1.5))).toBe(1);
  });

  it('of no numbers are 0', () => {
    expect([mean([]), rootMeanSquare([]), standardDeviation([])]).toEqual([0, 0, 0]);
  });
});

describe('quantile', () => {
  it.for([
    [0, 1],
    [0.25, 2],
    [0.5, 3],
    [0.6, 3.4],
    [1, 5],
  ] as const)('at %d of 1 to 5, in any order, is %d', ([share, expected]) => {
    expect(quantile([5, 3, 1, 4, 2], share)).toBeCloseTo(expected, 12);
  });

  it('of one number is that, of none is NaN', () => {
    expect(quantile([7], 0.9)).toBe(7);
    expect(quantile([], 0.5)).toBeNaN();
  });

  it('leaves the numbers as they were', () => {
    const numbers = [3, 1, 2];
    expect(median(numbers)).toBe(2);
    expect(numbers).toEqual([3, 1, 2]);
  });

  it('never falls as the share grows, and stays between the extremes', () => {
    const numbers = fc.array(fc.double({ min: -1e9, max: 1e9, noNaN: true }), { minLength: 1 });
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(numbers, share, share, (values, a, b) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)].map((at) => quantile(values, at)) as [number, number];
        expect(low).toBeLessThanOrEqual(high + 1e-6);
        expect(low).toBeGreaterThanOrEqual(Math.min(...values));
        expect(high).toBeLessThanOrEqual(Math.max(...values));
      }),
    );
  });

  it('takes an infinite number', () => {
    expect(quantile([1, 2, Number.POSITIVE_INFINITY], 0.5)).toBe(2);
    expect(quantile([1, Number.POSITIVE_INFINITY], 1)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('median', () => {
  it('of an even count is the mean of the two in the middle', () => {
    expect(median([4, 1, 2, 3])).toBe(2.5);
  });
});

describe('fitLine', () => {
  it('finds the line through its points', () => {
    const { intercept, slope } = fitLine([1, 2, 4], [5, 7, 11]);
    expect(intercept).toBeCloseTo(3, 12);
    expect(slope).toBeCloseTo(2, 12);
  });

  it('leaves residuals that neither add up to anything nor go with x', () => {
    const pairs = fc.array(fc.tuple(fc.integer({ min: -99, max: 99 }), fc.integer({ min: -99, max: 99 })), {
      minLength: 2,
    });
    fc.assert(
      fc.property(pairs, (points) => {
        const [x, y] = [points.map(([a]) => a), points.map(([, b]) => b)];
        const { intercept, slope } = fitLine(x, y);
        const residuals = points.map(([a, b]) => b - intercept - slope * a);
        expect(residuals.reduce((sum, r) => sum + r, 0)).toBeCloseTo(0, 6);
        expect(residuals.reduce((sum, r, i) => sum + r * (x[i] as number), 0)).toBeCloseTo(0, 4);
      }),
    );
  });

  it('of a single x is flat, at the mean', () => {
    expect(fitLine([3, 3], [1, 5])).toEqual({ intercept: 3, slope: 0 });
  });
});

describe('estimateMean', () => {
  it('has the standard error of the mean', () => {
    const { value, error } = estimateMean([1, 2, 3, 4]);
    expect(value).toBe(2.5);
    expect(error).toBeCloseTo(Math.sqrt(5 / 3 / 4), 12);
    expect(estimateMean([2, 2, 2])).toEqual({ value: 2, error: 0 });
  });
});

describe('jackknife', () => {
  it('of a mean has its standard error', () => {
    const numbers = [1, 2, 3, 7];
    const { value, error } = jackknife(numbers, mean);
    expect(value).toBe(mean(numbers));
    expect(error).toBeCloseTo(estimateMean(numbers).error, 12);
  });

  it('of a figure that no part changes is certain', () => {
    expect(jackknife([1, 2, 3], () => 4)).toEqual({ value: 4, error: 0 });
  });
});
