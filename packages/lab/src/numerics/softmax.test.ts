import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { argmax, klDivergence, logSoftmax } from './softmax.ts';

describe('klDivergence', () => {
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

  it('is never below nothing, and nothing only for equal predictions', () => {
    const logits = fc.array(fc.float({ min: -20, max: 20, noNaN: true }), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(logits, logits, (a, b) => {
        const [p, q] = [logSoftmax(a), logSoftmax(b)];
        const kl = klDivergence(p, q);
        expect(kl).toBeGreaterThanOrEqual(0);
        // Pinsker: the total variation is at most sqrt(KL / 2).
        const variation = p.reduce((sum, x, i) => sum + Math.abs(Math.exp(x) - Math.exp(q[i] as number)), 0) / 2;
        expect(variation).toBeLessThanOrEqual(Math.sqrt(kl / 2) + 1e-7);
      }),
    );
  });
});

describe('logSoftmax', () => {
  it('is that of a known distribution', () => {
    expect([...logSoftmax([Math.log(1), Math.log(2), Math.log(5)])].map(Math.exp)).toEqual([
      expect.closeTo(0.125, 12),
      expect.closeTo(0.25, 12),
      expect.closeTo(0.625, 12),
    ]);
  });

  it('does not overflow', () => {
    expect([...logSoftmax([1e4, 0])]).toEqual([0, -1e4]);
    expect([...logSoftmax([-1e4, -1e4])]).toEqual([expect.closeTo(-Math.LN2, 12), expect.closeTo(-Math.LN2, 12)]);
  });
});

describe('argmax', () => {
  it('is the first of the largest', () => {
    expect(argmax([1, 4, 4, 2])).toBe(1);
    expect(argmax(Float32Array.of(-3))).toBe(0);
  });
});
