import { describe, expect, it } from 'vitest';
import { captureFixture } from '../../../test/capture-fixture.ts';
import type { CapturedHead } from '../../captures/captured-head.ts';
import { createRandom } from '../numbers.ts';
import { type Clusters, clustersInOnePass, merged, remainsOfClusters, singles } from './clusters.ts';
import { evictionErrors, evictionHead, keepMost } from './eviction.ts';
import { evicted } from './remains.ts';

const D = 6;
const N = 500;
const options = (count: number) => ({ count, rounds: 4, metric: new Float64Array(D).fill(1), random: createRandom(5) });

function points(): Clusters {
  const random = createRandom(3);
  return singles(random.normals(N * D), random.normals(N * D), D);
}

/** Scatter of all keys about the origin: what is inside clusters and what is between them. */
function totalScatter({ counts, keys, scatter }: Clusters): Float64Array {
  const total = Float64Array.from(scatter);
  for (const [c, count] of counts.entries()) {
    for (let a = 0; a < D; a++) {
      for (let b = 0; b < D; b++) {
        total[a * D + b] =
          (total[a * D + b] as number) + count * (keys[c * D + a] as number) * (keys[c * D + b] as number);
      }
    }
  }
  return total;
}

const distance = (a: Float64Array, b: Float64Array) => Math.max(...a.map((x, i) => Math.abs(x - (b[i] as number))));

describe('clusters', () => {
  it.each([
    ['at once', () => merged(points(), options(8))],
    ['in one pass', () => clustersInOnePass(points().keys, points().values, D, options(8))],
  ])('keep counts, sums and second moments of what they stand for: %s', (_, make) => {
    const clusters = make();
    expect(clusters.counts).toHaveLength(8);
    expect(clusters.counts.reduce((sum, x) => sum + x, 0)).toBeCloseTo(N, 9);
    // The identity of sums of squares.
    expect(distance(totalScatter(clusters), totalScatter(points()))).toBeLessThan(1e-10 * N);
  });

  it('leave fewer points than clusters as they are', () => {
    const threePoints = singles(createRandom(1).normals(3 * D), createRandom(2).normals(3 * D), D);
    expect(merged(threePoints, options(8))).toEqual(threePoints);
  });
});

describe('what stands for evicted keys', () => {
  const head = evictionHead(captureFixture()[0] as CapturedHead, 8);
  const kept = keepMost(head, head.votes, 64);
  const gone = evicted(head, kept);
  const errorWith = (clusters: Clusters, degree: 0 | 1 | 2) => {
    const errors = evictionErrors(head, kept, remainsOfClusters(clusters, degree));
    return errors.reduce((sum, x) => sum + x, 0) / errors.length;
  };

  it('is exact where every evicted key is a cluster of its own', () => {
    expect(errorWith(singles(gone.keys, gone.values, head.d), 0)).toBeLessThan(1e-12);
  });

  it('is better than nothing, and better with moments', () => {
    const nothing = evictionErrors(head, kept);
    const metric = new Float64Array(head.d).fill(1);
    const clusters = merged(singles(gone.keys, gone.values, head.d), {
      count: 8,
      rounds: 8,
      metric,
      random: createRandom(1),
    });
    const plain = errorWith(clusters, 0);
    expect(plain).toBeLessThan(nothing.reduce((sum, x) => sum + x, 0) / nothing.length);
    expect(errorWith(clusters, 2)).toBeLessThan(plain);
  });
});
