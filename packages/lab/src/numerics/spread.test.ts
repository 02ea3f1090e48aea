import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ratioOf, spreadOf } from './spread.ts';

describe('spreads', () => {
  it('are the median and the quartiles', () => {
    expect(spreadOf([5, 1, 4, 2, 3])).toEqual({ median: 3, low: 2, high: 4 });
    expect(spreadOf([2])).toEqual({ median: 2, low: 2, high: 2 });
  });

  it('have at least a quarter of the numbers on either side of each quartile, in any order', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ noNaN: true, min: 0, max: 1e9 }), { minLength: 1 }), (numbers) => {
        const { median, low, high } = spreadOf(numbers);
        expect(spreadOf([...numbers].reverse())).toEqual({ median, low, high });
        expect(low <= median && median <= high).toBe(true);
        expect(4 * numbers.filter((x) => x <= low).length).toBeGreaterThanOrEqual(numbers.length);
        expect(4 * numbers.filter((x) => x >= high).length).toBeGreaterThanOrEqual(numbers.length);
      }),
    );
  });

  it('do not move with one slow round of many', () => {
    expect(spreadOf([1, 2, 3, 4, 500])).toEqual(spreadOf([1, 2, 3, 4, 5]));
  });

  it('of ratios are taken round by round', () => {
    // The second round was slow for both.
    expect(ratioOf([2, 20, 3], [1, 10, 1])).toEqual({ median: 2, low: 2, high: 2.5 });
  });
});
