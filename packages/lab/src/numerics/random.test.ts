import { describe, expect, it } from 'vitest';
import { createRandom, normals } from './random.ts';
import { mean, standardDeviation } from './statistics.ts';

describe('createRandom', () => {
  it('gives the same numbers for the same seed, everywhere', () => {
    const { uniform } = createRandom(1);
    expect([uniform(), uniform(), uniform()].map((x) => x.toFixed(9))).toEqual([
      '0.474138337',
      '0.402713177',
      '0.238381594',
    ]);
    expect(createRandom(2).uniform()).not.toBe(createRandom(1).uniform());
  });

  it('steps as drand48 does', () => {
    // X' = 0x5deece66d X + 0xb modulo 2^48, in whole numbers of any size.
    let state = (7n << 16n) ^ 0x5deece66dn;
    const { uniform } = createRandom(7);
    const next = () => {
      state = (0x5deece66dn * state + 0xbn) & ((1n << 48n) - 1n);
      return Number(state >> 16n) / 2 ** 32;
    };
    for (let i = 0; i < 8; i++) next();
    for (let i = 0; i < 1000; i++) expect(uniform()).toBe(next());
  });

  it('is uniform in [0, 1), and over whole numbers', () => {
    const { uniform, below } = createRandom(3);
    const numbers = Array.from({ length: 20_000 }, uniform);
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...numbers)).toBeLessThan(1);
    expect(mean(numbers)).toBeCloseTo(0.5, 2);
    expect(standardDeviation(numbers)).toBeCloseTo(1 / Math.sqrt(12), 2);
    const counts = [0, 0, 0];
    for (let i = 0; i < 3000; i++) (counts[below(3)] as number)++;
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(130);
  });
});

describe('normals', () => {
  it('have mean 0, variance 1 and the tails of a normal distribution', () => {
    const numbers = normals(createRandom(5), 40_000);
    expect(mean(numbers)).toBeCloseTo(0, 1);
    expect(standardDeviation(numbers)).toBeCloseTo(1, 1);
    expect(numbers.filter((x) => Math.abs(x) > 1.96).length / numbers.length).toBeCloseTo(0.05, 2);
  });

  it('are of the requested number, odd counts too', () => {
    expect(normals(createRandom(5), 7)).toHaveLength(7);
    expect(normals(createRandom(5), 7)).toEqual(normals(createRandom(5), 8).subarray(0, 7));
  });
});
