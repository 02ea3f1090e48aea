import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRandom } from '../numerics/random.ts';
import { samplePositions } from './positions.ts';

describe('samplePositions', () => {
  it('draws one position from each part of the last tenth', () => {
    const positions = samplePositions(1000, 4, createRandom(1));
    expect(positions).toHaveLength(4);
    for (const [i, position] of positions.entries()) {
      expect(position).toBeGreaterThanOrEqual(900 + 25 * i);
      expect(position).toBeLessThan(925 + 25 * i);
    }
  });

  it('takes the whole window where it is small', () => {
    expect(samplePositions(40, 32, createRandom(1))).toEqual([36, 37, 38, 39]);
  });

  it('draws other positions with another seed', () => {
    expect(samplePositions(8192, 8, createRandom(1))).not.toEqual(samplePositions(8192, 8, createRandom(2)));
  });

  it('gives different positions in ascending order, below the length', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 20_000 }), fc.integer({ min: 1, max: 64 }), (length, count) => {
        const positions = samplePositions(length, count, createRandom(length));
        expect(positions).toEqual([...new Set(positions)].sort((a, b) => a - b));
        expect(positions.every((position) => position < length && position >= 0.9 * length)).toBe(true);
        expect(positions.length).toBeLessThanOrEqual(count);
      }),
    );
  });
});
