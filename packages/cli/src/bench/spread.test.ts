import { describe, expect, it } from 'vitest';
import { ratioOf, spreadOf } from './spread.ts';
import { largestStepOf } from './steps.ts';

describe('spreads', () => {
  it('are the middle, the least and the largest', () => {
    expect(spreadOf([5, 1, 4, 2, 3])).toEqual({ median: 3, min: 1, max: 5 });
    expect(spreadOf([2, 1])).toEqual({ median: 1, min: 1, max: 2 });
  });

  it('of ratios are taken round by round', () => {
    // The second round was slow for both.
    expect(ratioOf([2, 20, 3], [1, 10, 1])).toEqual({ median: 2, min: 2, max: 3 });
  });
});

describe('the largest step', () => {
  it('is that between neighbours, relative to the lower one', () => {
    const bins = [10, 11, 16.5, 12].map((ms, i) => ({ from: i * 256, ms: spreadOf([ms]) }));
    expect(largestStepOf(bins)).toEqual({ growth: 0.5, at: 512 });
  });
});
