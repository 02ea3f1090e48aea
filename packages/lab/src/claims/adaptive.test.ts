import { describe, expect, it } from 'vitest';
import { compareBudgets, errorAt, keysForError, sufficientLaw } from './adaptive.ts';
import { ladder } from './budgets.ts';
import { emptyCurves, type Measurement } from './row.ts';

/** A length whose output error with k of n keys is `error(k)`, and 0 with all. */
function planted(n: number, error: (k: number) => number): Measurement {
  const ks = ladder(n);
  const curves = emptyCurves(ks.length);
  for (const [at, k] of ks.entries()) curves.output[at] = k === n ? 0 : error(k);
  return { n, ks, curves, needed: [], entropy: 0, spread: 0, above: 0, aboveMass: 0 };
}

const LENGTHS = [1024, 4096, 16_384, 65_536];

describe('keys and errors', () => {
  it('are read off between the steps of the ladder', () => {
    const row = planted(10_000, (k) => 2 / Math.sqrt(k));
    expect(keysForError(row, 'output', 0.1)).toBeCloseTo(400, 3);
    expect(errorAt(row, 'output', 400)).toBeCloseTo(0.1, 6);
    expect(keysForError(row, 'output', 5)).toBe(1);
    // Between the last two steps, 8,192 keys and all of them, straight.
    const last = 2 / Math.sqrt(8192);
    expect(keysForError(row, 'output', last / 2)).toBeCloseTo((8192 + 10_000) / 2, 6);
    expect(errorAt(row, 'output', (8192 + 10_000) / 2)).toBeCloseTo(last / 2, 12);
    expect(errorAt(row, 'output', 20_000)).toBe(0);
    expect(errorAt(row, 'output', 0.2)).toBeCloseTo(2, 6);
  });
});

describe('alpha n^C against a fixed budget', () => {
  it('finds a planted law, which is enough at every length', () => {
    const needed = LENGTHS.map((n) => 3 * n ** 0.6);
    const { alpha, C } = sufficientLaw(LENGTHS, needed);
    expect(alpha).toBeCloseTo(3, 8);
    expect(C).toBeCloseTo(0.6, 8);
    const uneven = needed.map((k, at) => k * (1 + 0.2 * (at % 2)));
    const law = sufficientLaw(LENGTHS, uneven);
    for (const [at, n] of LENGTHS.entries()) {
      expect(law.alpha * n ** law.C).toBeGreaterThanOrEqual((uneven[at] as number) * (1 - 1e-12));
    }
  });

  it('is cheaper where the keys grow, and then better at the longest length and worse at the shortest', () => {
    const means = LENGTHS.map((n) => planted(n, (k) => 0.1 * Math.sqrt((2 * n ** 0.5) / k)));
    const { law, fixed, costRatio, equalCost } = compareBudgets(means, 'output', 0.1);
    expect(law.C).toBeCloseTo(0.5, 2);
    expect(fixed).toBeCloseTo(2 * 65_536 ** 0.5, -1);
    // 512 keys everywhere, against 64, 128, 256 and 512.
    expect(costRatio).toBeCloseTo(512 / 240, 1);
    const [first, last] = [equalCost.errors[0], equalCost.errors.at(-1)];
    expect(last?.law).toBeLessThan(last?.fixed ?? 0);
    expect(first?.law).toBeGreaterThan(first?.fixed ?? 1);
    expect(equalCost.worst.law).toBeLessThan(equalCost.worst.fixed);
  });

  it('gains nothing where the keys do not grow', () => {
    const means = LENGTHS.map((n) => planted(n, (k) => 1 / Math.sqrt(k)));
    const { law, costRatio, equalCost } = compareBudgets(means, 'output', 0.1);
    expect(law.C).toBeCloseTo(0, 6);
    expect(costRatio).toBeCloseTo(1, 6);
    expect(equalCost.worst.fixed / equalCost.worst.law).toBeCloseTo(1, 6);
  });
});
