import { describe, expect, it } from 'vitest';
import { mean } from '../numerics/statistics.ts';
import { centred, createRandom, descending, hash, logSumExp, meanRow, multinomial, spearman } from './numbers.ts';

describe('statistics', () => {
  it('are those of cases by hand', () => {
    expect(logSumExp([Math.log(1), Math.log(2), Math.log(5)])).toBeCloseTo(Math.log(8), 12);
    expect(logSumExp([-1000, -1000])).toBeCloseTo(-1000 + Math.LN2, 12);
  });

  it('rank: 1 in the same order, -1 in the opposite one', () => {
    expect(spearman([1, 2, 3, 4], [10, 20, 30, 400])).toBe(1);
    expect(spearman([1, 2, 3, 4], [4, 3, 2, 1])).toBe(-1);
    expect(spearman([1, 2, 3], [2, 1, 3])).toBe(0.5);
  });

  it('order: descending, the first of equals first', () => {
    expect([...descending([1, 3, 2, 3])]).toEqual([1, 3, 2, 0]);
  });

  it('of rows take the mean row off', () => {
    expect([...meanRow(Float64Array.of(1, 2, 3, 6), 2)]).toEqual([2, 4]);
    expect([...centred(Float64Array.of(1, 2, 3, 6), 2)]).toEqual([-1, -2, 1, 2]);
  });
});

describe('multinomial coefficients', () => {
  it('count the orders of a list', () => {
    expect([[], [0], [0, 0], [0, 1], [0, 0, 1], [0, 1, 2], [1, 1, 2, 2]].map(multinomial)).toEqual([
      1, 1, 1, 2, 3, 6, 6,
    ]);
  });
});

describe('random numbers', () => {
  it('repeat themselves, and differ by seed', () => {
    expect(createRandom(7).normals(5)).toEqual(createRandom(7).normals(5));
    expect(createRandom(7).normals(5)).not.toEqual(createRandom(8).normals(5));
  });

  it('are normal, even and different', () => {
    const random = createRandom(1);
    const normals = random.normals(20_000);
    expect(Math.abs(mean(normals))).toBeLessThan(0.03);
    expect(mean(normals.map((x) => x * x))).toBeCloseTo(1, 1);
    expect(new Set(random.distinct(50, 60)).size).toBe(50);
    for (let i = 0; i < 100; i++) expect([-1, 1]).toContain(random.sign());
  });

  it('of hashes fill buckets evenly', () => {
    const counts = new Array<number>(16).fill(0);
    for (let i = 0; i < 16_000; i++) counts[hash(i, 3) % 16] = (counts[hash(i, 3) % 16] as number) + 1;
    expect(Math.min(...counts)).toBeGreaterThan(850);
    expect(Math.max(...counts)).toBeLessThan(1150);
  });
});
