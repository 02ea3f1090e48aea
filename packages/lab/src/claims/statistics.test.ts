import { describe, expect, it } from 'vitest';
import { emptyCurves, type Measurement } from './row.ts';
import type { Source } from './source.ts';
import { exponentOf, formatEstimate, slopeOf, trendOf } from './statistics.ts';

/** Repetitions whose entropy is given for each n. */
function sourceOf(lengths: number[], entropies: ((n: number) => number)[]): Source {
  const repetitions = entropies.map((entropy) =>
    lengths.map(
      (n): Measurement => ({
        n,
        ks: [n],
        curves: emptyCurves(1),
        needed: [],
        spread: 0,
        above: 0,
        aboveMass: 0,
        entropy: entropy(n),
      }),
    ),
  );
  return { family: 'gaussian', name: 'planted', lengths, repetitions };
}

describe('figures with their uncertainty', () => {
  it('find planted slopes and exponents, and how they scatter', () => {
    const lengths = [100, 1000, 10_000];
    const source = sourceOf(lengths, [(n) => 2 + 0.3 * Math.log(n), (n) => 1 + 0.5 * Math.log(n)]);
    const slope = slopeOf(source, ({ entropy }) => entropy);
    expect(slope.value).toBeCloseTo(0.4, 10);
    expect(slope.error).toBeCloseTo(0.1, 10);
    const power = sourceOf(lengths, [(n) => 7 * n ** 0.8, (n) => 2 * n ** 0.8]);
    const exponent = exponentOf(power, ({ entropy }) => entropy);
    expect(exponent.value).toBeCloseTo(0.8, 10);
    expect(exponent.error).toBeCloseTo(0, 10);
  });

  it('are on a side of 0 only by three standard errors', () => {
    expect(trendOf({ value: -0.31, error: 0.1 })).toBe('falls');
    expect(trendOf({ value: 0.31, error: 0.1 })).toBe('rises');
    expect(trendOf({ value: -0.29, error: 0.1 })).toBe('unclear');
    expect(trendOf({ value: 0, error: 0 })).toBe('unclear');
  });

  it('have as many digits as they have meaning', () => {
    expect(formatEstimate({ value: -0.25123, error: 0.0104 })).toBe('−0.251 ± 0.010');
    expect(formatEstimate({ value: 1.5, error: 0 })).toBe('1.50 ± 0.00');
  });
});
