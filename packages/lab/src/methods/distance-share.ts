/**
 * The share of the variance of a head's scores that distance alone explains: 1 for a convolution (`conv-basis.ts`), 0
 * where only content counts. A profile over distances is the mean score at each distance over some queries; the share is
 * what it explains of the variance of other queries' scores, each about its own mean. It may be negative: the profile
 * then tells less than that mean.
 */

import { mean } from '../numerics/statistics.ts';
import { at, checkCount, invalid } from './numbers.ts';

export interface DistanceRow {
  /** Scores of keys 0 to the query's position, in nats. */
  scores: ArrayLike<number>;
}

/** Fits the profile to `fitted` and tries it on `tested`, both for keys `from` to `to` (not included). */
export function distanceShare(
  fitted: readonly DistanceRow[],
  tested: readonly DistanceRow[],
  { from, to }: { from: number; to: number },
): number {
  if (fitted.length === 0 || tested.length === 0)
    throw invalid('There are no queries to fit or to test.', 0, 'Give some.');
  checkCount(from, 'The first key', 0);
  const shortest = Math.min(...[...fitted, ...tested].map(({ scores }) => scores.length));
  checkCount(to, 'The key behind the last one', from + 1, shortest);
  const profile = distanceProfile(fitted, { from, to });
  let [rest, whole] = [0, 0];
  for (const { scores } of tested) {
    const scoresInRange: number[] = [];
    const left: number[] = [];
    for (let j = from; j < to; j++) {
      scoresInRange.push(at(scores, j));
      left.push(at(scores, j) - at(profile, scores.length - 1 - j));
    }
    whole += sumOfSquares(scoresInRange);
    rest += left.reduce((sum, x) => sum + x * x, 0);
  }
  return whole === 0 ? 0 : 1 - rest / whole;
}

/** The mean score at every distance that occurs; at larger ones, which later queries ask for, that of the largest. */
export function distanceProfile(
  rows: readonly DistanceRow[],
  { from, to }: { from: number; to: number },
): Float64Array {
  const longest = Math.max(...rows.map(({ scores }) => scores.length));
  const size = 2 * longest;
  const [sums, counts] = [new Float64Array(size), new Float64Array(size)];
  for (const { scores } of rows) {
    for (let j = from; j < to; j++) {
      const distance = scores.length - 1 - j;
      sums[distance] = at(sums, distance) + at(scores, j);
      counts[distance] = at(counts, distance) + 1;
    }
  }
  const last = longest - 1 - from;
  return sums.map((_, distance) => at(sums, Math.min(distance, last)) / at(counts, Math.min(distance, last)));
}

function sumOfSquares(numbers: readonly number[]): number {
  const middle = mean(numbers);
  let sum = 0;
  for (const x of numbers) sum += (x - middle) ** 2;
  return sum;
}
