import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gaussianLogits, logitsOf, softmax, sorted } from '../../test/logits.ts';
import { topTokens } from './top-tokens.ts';
import { allowedTokens } from './truncation.ts';

describe('bestTokens', () => {
  it('gives the first of a full sort', () => {
    fc.assert(
      fc.property(logitsOf(300), fc.nat(300), (logits, count) => {
        const k = Math.min(count, logits.length);
        expect([...topTokens(logits, k)]).toEqual(sorted(logits).slice(0, k));
      }),
    );
  });
});

describe('allowedTokens', () => {
  const limits = fc.record({
    topK: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 400 })),
    topP: fc.oneof(fc.constant(1), fc.double({ min: 0.01, max: 0.999, noNaN: true })),
    minP: fc.oneof(fc.constant(0), fc.double({ min: 1e-4, max: 1, noNaN: true })),
  });

  it('keeps what top-k, then top-p, then min-p keep one after the other', () => {
    fc.assert(
      fc.property(logitsOf(400), limits, (logits, { topK, topP, minP }) => {
        const best = Math.max(...logits);
        const kept = [...(allowedTokens(logits, best, { topK, topP, minP }) ?? sorted(logits))];
        const byK = sorted(logits).slice(0, topK === 0 ? logits.length : topK);
        const probabilities = softmax(byK.map((id) => logits[id] as number));
        const running = probabilities.map(
          ((sum) => (p: number) => {
            sum += p;
            return sum;
          })(0),
        );
        expect(kept).toEqual(byK.slice(0, kept.length));
        // Rounding decides only for sums and ratios within 1e-12 of the limit.
        const sumBefore = (count: number) => running[count - 1] ?? 0;
        const mustStop = (count: number) =>
          count > 0 &&
          ((topP < 1 && sumBefore(count) > topP + 1e-12) ||
            (probabilities[count] as number) < minP * (probabilities[0] as number) * (1 - 1e-12));
        const mayStop = (count: number) =>
          count === byK.length ||
          (topP < 1 && sumBefore(count) > topP - 1e-12) ||
          (probabilities[count] as number) < minP * (probabilities[0] as number) * (1 + 1e-12);
        expect(kept.length).toBeGreaterThan(0);
        expect(mayStop(kept.length)).toBe(true);
        for (let count = 1; count < kept.length; count++) expect(mustStop(count)).toBe(false);
      }),
      { numRuns: 300 },
    );
  });

  it('finds the smallest set for top-p where it is most of a large vocabulary', () => {
    const logits = gaussianLogits(20_000, 0.2, 5);
    const best = Math.max(...logits);
    const kept = [...(allowedTokens(logits, best, { topK: 0, topP: 0.9, minP: 0 }) as Int32Array)];
    const probabilities = softmax([...logits]);
    const mass = (ids: number[]) => ids.reduce((sum, id) => sum + (probabilities[id] as number), 0);
    expect(kept).toEqual(sorted(logits).slice(0, kept.length));
    expect(mass(kept)).toBeGreaterThanOrEqual(0.9 - 1e-12);
    expect(mass(kept.slice(0, -1))).toBeLessThan(0.9 + 1e-12);
    expect(kept.length).toBeGreaterThan(15_000);
  });
});
