import { describe, expect, it } from 'vitest';
import { halfSampleDistance } from './half-samples.ts';

/** A half-sample of one key with weight e^logWeight and a value. */
const half = (logWeight: number, value: number[]) => ({
  logSum: logWeight,
  max: logWeight,
  numerator: Float32Array.from(value),
});

describe('the error by half-samples', () => {
  it('is 0 where both halves have the same sum and mean', () => {
    expect(halfSampleDistance(half(0, [3, 4]), half(0, [3, 4]), Float32Array.of(1, 1), 1)).toBe(0);
  });

  it('is the distance of the means, weighted by the share of each half', () => {
    // Two halves of a quarter of the sum each, whose means are 2 apart.
    const total = Math.log(4);
    const error = halfSampleDistance(half(0, [1, 0]), half(0, [-1, 0]), Float32Array.of(0, 0), total);
    expect(error).toBeCloseTo(0.5, 12);
  });

  it('grows where one half has more of the sum, by how far its mean is from the output', () => {
    // A has half of the sum and B nothing: |.5 (3 - 1)|.
    const nothing = { logSum: Number.NEGATIVE_INFINITY, max: Number.NEGATIVE_INFINITY, numerator: Float32Array.of(0) };
    expect(halfSampleDistance(half(0, [3]), nothing, Float32Array.of(1), Math.log(2))).toBeCloseTo(1, 12);
  });
});
