import { describe, expect, it } from 'vitest';
import { evictionsOf } from '../../test/variants.ts';
import { describeEviction } from './eviction.conformance.ts';
import { evictLowest, type KeptKeys } from './eviction.ts';

for (const create of evictionsOf().values()) describeEviction(create);

describe('evictLowest', () => {
  const kept = (): KeptKeys => ({ positions: [0, 3, 4, 8, 9], scores: [5, 1, 7, 1, 0] });

  it('drops what is worth least, but for the last', () => {
    for (const [count, recent, positions] of [
      [5, 2, [0, 3, 4, 8, 9]],
      [4, 1, [0, 4, 8, 9]],
      [4, 0, [0, 3, 4, 8]],
      [3, 1, [0, 4, 9]],
      [2, 2, [8, 9]],
      [1, 0, [4]],
      [1, 3, [9]],
      [0, 0, []],
    ] as const) {
      const left = kept();
      const gone = evictLowest(left, count, recent);
      expect([...gone, ...left.positions].sort((a, b) => a - b)).toEqual(kept().positions);
      expect(left.positions, `${count} of 5, ${recent} recent`).toEqual(positions);
      expect(left.scores).toEqual(positions.map((position) => kept().scores[kept().positions.indexOf(position)]));
    }
  });
});
