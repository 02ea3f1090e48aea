import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keysForError } from './needed-keys.ts';

const LADDER = [10, 100, 1000];

describe('keysForError', () => {
  it.for([
    // On the line through (ln 100, ln .1) and (ln 1000, ln .01), halfway.
    [[1, 0.1, 0.01], Math.sqrt(0.001), 100 * Math.sqrt(10)],
    // Exactly at a rung.
    [[1, 0.1, 0.01], 0.1, 100],
    // The first rung is enough, or more than enough.
    [[0.05, 0.04, 0.03], 0.1, 10],
    // Behind the last error that is too large, whatever comes before.
    [[0.05, 0.4, 0.1], 0.2, 100 * 10 ** (Math.log(2) / Math.log(4))],
    // Beyond the ladder the error falls linearly to 0 at n.
    [[1, 0.5, 0.2], 0.1, 1000 + 4000 / 2],
    // The last rung was not measured.
    [[1, 0.5, Number.NaN], 0.1, 100 + (5000 - 100) * 0.8],
  ] as const)('with the errors %j, and %d tolerated, is %d', ([errors, tolerance, keys]) => {
    expect(keysForError(errors, LADDER, 5000, tolerance)).toBeCloseTo(keys, 6);
  });

  it('is never more than the context has', () => {
    expect(keysForError([0.01, 0.01, 0.01], LADDER, 7, 0.1)).toBe(7);
  });

  it('does not rise as more is tolerated, where errors fall', () => {
    const errors = fc.array(fc.double({ min: 1e-6, max: 1, noNaN: true }), { minLength: 3, maxLength: 3 });
    const tolerance = fc.double({ min: 1e-6, max: 1, noNaN: true });
    fc.assert(
      fc.property(errors, tolerance, tolerance, (measured, a, b) => {
        const falling = [...measured].sort((x, y) => y - x);
        const [tight, loose] = [Math.min(a, b), Math.max(a, b)];
        const keysAt = (allowed: number) => keysForError(falling, LADDER, 5000, allowed);
        expect(keysAt(loose)).toBeLessThanOrEqual(keysAt(tight) * (1 + 1e-9));
      }),
    );
  });
});
