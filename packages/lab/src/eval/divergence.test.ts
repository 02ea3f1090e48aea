import { describe, expect, it } from 'vitest';
import { argmax, klDivergence, logSoftmax, mean, quantile } from './divergence.ts';

describe('divergence', () => {
  it('is nothing between the same predictions, whatever their logits are shifted by', () => {
    const logits = Float32Array.of(1, 2, -3, 0.5);
    const [a, b] = [logSoftmax(logits), logSoftmax(logits.map((x) => x + 40))];
    expect(klDivergence(a, b)).toBeLessThan(1e-9);
    expect(a.reduce((sum, x) => sum + Math.exp(x), 0)).toBeCloseTo(1, 12);
  });

  it('is sum p ln (p / q)', () => {
    const p = logSoftmax(Float32Array.of(Math.log(3), 0)); // 3/4, 1/4
    const q = logSoftmax(Float32Array.of(0, 0)); // 1/2, 1/2
    expect(klDivergence(p, q)).toBeCloseTo(0.75 * Math.log(1.5) + 0.25 * Math.log(0.5), 6);
  });

  it('has means, quantiles and the first of the largest', () => {
    expect(mean([1, 2, 6])).toBe(3);
    expect(quantile([5, 1, 3], 0.5)).toBe(3);
    expect(quantile([1, 2], 1)).toBe(2);
    expect(argmax([1, 4, 4, 2])).toBe(1);
  });
});
