/**
 * The share of a head's score variance that distance alone explains, from sums by distance instead of the scores: in
 * memory that does not grow with the queries. `distanceShare` of the methods is its counterpart for whole rows of scores.
 */
import { bucketStart } from 'keysieve/engine';

/** Of some queries: all arrays have an element for each bucket of distances. */
export interface DistanceSums {
  /** Sums of score - mean of the query. */
  sums: Float64Array;
  /** Keys. */
  counts: Float64Array;
  /** Sum of (score - mean)^2 over all keys. */
  squares: number;
}

/** Adds the keys at distances from 0 to below `distances` to the counts of their buckets. */
export function countByDistance(distances: number, counts: Float64Array): void {
  for (let bucket = 0; bucket < counts.length && bucketStart(bucket) < distances; bucket++) {
    const end = Math.min(distances, bucketStart(bucket + 1));
    counts[bucket] = (counts[bucket] as number) + end - bucketStart(bucket);
  }
}

/** Adds up what was found of several texts. */
export function addDistanceSums(parts: readonly DistanceSums[]): DistanceSums {
  const [first, ...rest] = parts as [DistanceSums, ...DistanceSums[]];
  const added = { sums: first.sums.slice(), counts: first.counts.slice(), squares: first.squares };
  for (const { sums, counts, squares } of rest) {
    for (let i = 0; i < sums.length; i++) {
      added.sums[i] = (added.sums[i] as number) + (sums[i] as number);
      added.counts[i] = (added.counts[i] as number) + (counts[i] as number);
    }
    added.squares += squares;
  }
  return added;
}

/**
 * The profile f(b), the mean of a bucket in one half, explains of the other half, whose buckets have c keys of the sum S,
 *
 *   sum x^2 - sum (x - f)^2 = sum_b f(b) (2 S(b) - c(b) f(b)),
 *
 * and the share is that of both halves together, by turns. A distance that the fitted half does not have is predicted by
 * the mean, 0. Null where a half has no queries.
 */
export function distanceShareOfHalves(first: DistanceSums, second: DistanceSums): number | null {
  if (first.counts[0] === 0 || second.counts[0] === 0) return null;
  const whole = first.squares + second.squares;
  return whole === 0 ? 0 : (explained(first, second) + explained(second, first)) / whole;
}

function explained(fitted: DistanceSums, tested: DistanceSums): number {
  let total = 0;
  for (let bucket = 0; bucket < fitted.sums.length; bucket++) {
    const count = fitted.counts[bucket] as number;
    if (count === 0) continue;
    const profile = (fitted.sums[bucket] as number) / count;
    total += profile * (2 * (tested.sums[bucket] as number) - (tested.counts[bucket] as number) * profile);
  }
  return total;
}
