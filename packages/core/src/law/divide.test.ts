import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ErrorLine, findLogPrice, keysAtPrice, logSquaredError } from './divide.ts';

const line = fc.record({
  level: fc.double({ min: -8, max: 4, noNaN: true }),
  slope: fc.double({ min: -3, max: -0.2, noNaN: true }),
});
const RANGE = { min: 2, max: 60 };

const divide = (lines: readonly ErrorLine[], total: number, range = RANGE): Float64Array => {
  const keys = new Float64Array(lines.length);
  const sumAt = (price: number) => keysAtPrice(lines, price, range, keys).reduce((a, b) => a + b, 0);
  sumAt(findLogPrice((price) => sumAt(price) > total));
  return keys;
};

const errorOf = (lines: readonly ErrorLine[], keys: ArrayLike<number>): number =>
  lines.reduce((sum, each, i) => sum + Math.exp(logSquaredError(each, keys[i] as number)), 0);

/** Every way to give `total` keys to `count`, whole numbers within the range. */
function* ways(count: number, total: number, { min, max } = RANGE): Generator<number[]> {
  if (count === 1) {
    if (total >= min && total <= max) yield [total];
    return;
  }
  for (let first = min; first <= Math.min(max, total); first++) {
    for (const rest of ways(count - 1, total - first)) yield [first, ...rest];
  }
}

describe('water-filling', () => {
  it('leaves no more error than the best of all whole divisions, and uses up what there is', () => {
    fc.assert(
      fc.property(fc.array(line, { minLength: 1, maxLength: 3 }), fc.integer({ min: 2, max: 60 }), (lines, mean) => {
        const total = mean * lines.length;
        const keys = divide(lines, total);
        expect(keys.reduce((a, b) => a + b, 0)).toBeCloseTo(total, 6);
        let best = Number.POSITIVE_INFINITY;
        for (const way of ways(lines.length, total)) best = Math.min(best, errorOf(lines, way));
        expect(errorOf(lines, keys)).toBeLessThanOrEqual(best * (1 + 1e-9));
      }),
      { numRuns: 60, seed: 1 },
    );
  });

  it('gives nobody less than the least or more than the most, whatever the price', () => {
    fc.assert(
      fc.property(
        fc.array(line, { minLength: 1, maxLength: 20 }),
        fc.double({ min: -100, max: 100, noNaN: true }),
        (lines, price) => {
          for (const keys of keysAtPrice(lines, price, RANGE, new Float64Array(lines.length))) {
            expect(keys).toBeGreaterThanOrEqual(RANGE.min);
            expect(keys).toBeLessThanOrEqual(RANGE.max);
          }
        },
      ),
      { seed: 2 },
    );
  });

  it('gives the same to all that are alike, and twice the error of slope -1 the square root of 2 more', () => {
    const even = divide(
      [0, 0, 0].map((level) => ({ level, slope: -1 })),
      90,
    );
    for (const keys of even) expect(keys).toBeCloseTo(30, 6);
    const [one = 0, two = 0] = divide(
      [
        { level: 0, slope: -1 },
        { level: Math.log(2), slope: -1 },
      ],
      40,
    );
    expect(two / one).toBeCloseTo(Math.SQRT2, 6);
  });

  it('takes the highest price where everything is asked for too much, and the lowest where nothing is', () => {
    expect(findLogPrice(() => true)).toBe(80);
    expect(findLogPrice(() => false)).toBeCloseTo(-80, 6);
  });
});
