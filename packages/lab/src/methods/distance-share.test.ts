import { describe, expect, it } from 'vitest';
import { distanceProfile, distanceShare } from './distance-share.ts';
import { createRandom } from './numbers.ts';

const RANGE = { from: 2, to: 80 };
const rowsOf = (count: number, score: (distance: number, key: number) => number) =>
  Array.from({ length: count }, (_, i) => {
    const length = 100 + i;
    return { scores: Array.from({ length }, (_, j) => score(length - 1 - j, j)) };
  });

describe('the share that distance explains', () => {
  it('is 1 for scores that depend on distance alone', () => {
    const rows = rowsOf(12, (distance) => Math.cos(distance / 5));
    expect(distanceShare(rows.slice(0, 6), rows.slice(3, 9), RANGE)).toBeGreaterThan(0.95);
    expect(distanceShare(rows, rows, RANGE)).toBeCloseTo(1, 12);
  });

  it('is near 0, or below, for scores that depend on keys alone', () => {
    const content = createRandom(1).normals(200);
    const rows = rowsOf(64, (_, key) => content[key] as number);
    expect(distanceShare(rows.slice(0, 32), rows.slice(32), RANGE)).toBeLessThan(0.15);
  });

  it('does not see what all keys of a query have in common in the profile of one query', () => {
    const rows = rowsOf(2, (distance) => distance);
    const profile = distanceProfile(rows.slice(0, 1), RANGE);
    expect(profile[30]).toBe(30);
    // Beyond the largest distance that occurs it stays.
    expect(profile[150]).toBe(97);
  });

  it('refuses ranges that no query has', () => {
    const rows = rowsOf(2, () => 0);
    const refused = expect.objectContaining({ code: 'invalid-argument' });
    expect(() => distanceShare([], rows, RANGE)).toThrow(refused);
    expect(() => distanceShare(rows, rows, { from: 2, to: 500 })).toThrow(refused);
    expect(() => distanceShare(rows, rows, { from: -1, to: 50 })).toThrow(refused);
  });
});
