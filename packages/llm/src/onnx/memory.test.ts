import { expect, it } from 'vitest';
import { residentWeights } from './memory.ts';

const MiB = 2 ** 20;
const weights = { packed: 100 * MiB, mapped: 3 * MiB, segments: 2 * MiB, tables: [160 * MiB, 10 * MiB] };

it('of a table what texts have read is in memory: more of longer ones, and never more than there is', () => {
  const read = [0, 1, 100, 1000, 8000, 32_000, 1e7].map((tokens) => residentWeights(weights, tokens) - 105 * MiB);
  expect(read[0]).toBe(0);
  // A part of each component.
  expect(read[1]).toBeGreaterThan(2 * 2 ** 16 * 0.99);
  expect(read[1]).toBeLessThanOrEqual(2 * 2 ** 16);
  expect(read).toEqual([...read].sort((a, b) => a - b));
  expect(read[3]).toBeLessThan(0.3 * 170 * MiB);
  expect(read[5]).toBeGreaterThan(0.6 * 170 * MiB);
  expect(read.at(-1)).toBeCloseTo(170 * MiB, -1);
});

it('small tables, and models without any, are what they are', () => {
  expect(residentWeights({ ...weights, tables: [] }, 8000)).toBe(105 * MiB);
  expect(residentWeights({ ...weights, tables: [1000, 0] }, 8000)).toBeCloseTo(105 * MiB + 1000, 6);
});
