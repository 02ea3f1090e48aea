import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shrink } from './shrink.ts';

const estimate = (value: number, error: number) => ({ value, error });

describe('shrink', () => {
  it('pulls equally certain values that differ by no more than chance onto their mean', () => {
    const { pooled, values } = shrink([estimate(0.4, 0.2), estimate(0.6, 0.2)]);
    expect(pooled).toBeCloseTo(0.5, 12);
    expect(values).toEqual([expect.closeTo(0.5, 12), expect.closeTo(0.5, 12)]);
  });

  it('leaves certain values that really differ almost as they are', () => {
    const { values } = shrink([estimate(0.1, 0.01), estimate(0.9, 0.01), estimate(0.5, 0.01)]);
    expect(values[0]).toBeCloseTo(0.1, 2);
    expect(values[1]).toBeCloseTo(0.9, 2);
  });

  it('pulls an uncertain value further than certain ones', () => {
    const { pooled, values } = shrink([estimate(0, 0.05), estimate(1, 0.05), estimate(3, 2)]);
    const left = (i: number, value: number) => ((values[i] as number) - pooled) / (value - pooled);
    expect(left(2, 3)).toBeLessThan(0.5);
    expect(left(1, 1)).toBeGreaterThan(0.9);
  });

  it('follows DerSimonian and Laird in an example', () => {
    // Weights 1/.01 and 1/.04: Q = 2, between-variance (Q - 1) / (125 - (100^2 + 25^2) / 125) = .025.
    const { pooled, values } = shrink([estimate(1, 0.1), estimate(1 + Math.sqrt(0.1), 0.2)]);
    const [a, b] = [1 / (0.01 + 0.025), 1 / (0.04 + 0.025)];
    const mean = (a * 1 + b * (1 + Math.sqrt(0.1))) / (a + b);
    expect(pooled).toBeCloseTo(mean, 10);
    expect(values[0]).toBeCloseTo(mean + (0.025 / 0.035) * (1 - mean), 10);
  });

  it('leaves a single value as it is', () => {
    expect(shrink([estimate(0.7, 0.3)])).toEqual({ pooled: 0.7, values: [0.7] });
  });

  it('never leaves the range of its values', () => {
    const any = fc.record({
      value: fc.double({ min: -3, max: 3, noNaN: true }),
      error: fc.double({ min: 0, max: 5, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(any, { minLength: 1, maxLength: 9 }), (estimates) => {
        const numbers = estimates.map(({ value }) => value);
        for (const value of shrink(estimates).values) {
          expect(value).toBeGreaterThanOrEqual(Math.min(...numbers) - 1e-9);
          expect(value).toBeLessThanOrEqual(Math.max(...numbers) + 1e-9);
        }
      }),
    );
  });
});
