/**
 * Selection by bounds on the scores, from int8 keys. Every score lies between two numbers, which bounds the sum over the
 * unselected keys and their softmax mass. Keys are selected in the order of their upper bounds.
 *
 * With U the sum of e^upper over the unselected keys and L that of e^lower over the selected ones, the mass is at most
 * U / (L + U), since x / (a + x) grows with x and falls with a.
 */

import {
  extendLogSumExp,
  type GroupWork,
  logSumExp,
  primaryRegion,
  type RunningLogSumExp,
  rowScores,
  selectedPositions,
} from '../group/group-work.ts';
import { boundAllScores, boundScanBytes, maxScoreRoundingError, scoreLowerBounds } from '../group/quantized-work.ts';
import { selectByScores } from './by-scores.ts';
import { type Selector, sinksAndRecent } from './selector.ts';

/**
 * Sums of up to 2^31 weights in float32, 64 at a time and these in float64, are off by less than this share, rounding
 * of the weights included: 75 u of a difference of scores and 4 u of e^x, and 16 u of the additions, u = 2^-24.
 */
const SUM_SLACK = 2 ** -15;
/** Resolution of the histogram of bounds, and its range below the largest bound: see `keysForMassBound`. */
const BINS_PER_NAT = 64;
const BINS = 80 * BINS_PER_NAT;
/** Growth of the number of keys from one attempt to the next, where the counted ones do not suffice. */
const RETRY_GROWTH = 1.05;

export default function createInt8Scan(): Selector {
  return {
    name: 'int8-scan',
    encodings: ['bounds'],
    unit: 'head',
    certain: true,
    select(work, budget) {
      const { n } = work;
      boundAllScores(work);
      const bytesScanned = boundScanBytes(work);
      const { tailMass } = budget;
      const lower = scoreLowerBounds(work);
      let count = budget.tailMass === undefined ? budget.keys(work) : keysForMassBound(work, lower, budget.tailMass);
      for (; count < n; count = Math.ceil(count * RETRY_GROWTH)) {
        selectByScores(work, count);
        const bounds = boundUnselected(work, lower, count);
        const result = { count, bytesScanned, hasScoreBounds: true, ...bounds };
        if (tailMass === undefined || bounds.tailShare <= tailMass) return result;
      }
      selectByScores(work, n);
      return { count: n, bytesScanned };
    },
  };
}

/**
 * Number of keys, in the order of their upper bounds, that leave at most `tailMass`, from a histogram of the bounds whose
 * last bin is counted whole. The selection is bounded again once it is made.
 */
function keysForMassBound(work: GroupWork, lower: Float32Array, tailMass: number): number {
  const { n } = work;
  const upper = rowScores(work);
  const { sinks, recent } = sinksAndRecent(n);
  const maxUpper = maxOf(upper);
  const counts = new Int32Array(BINS);
  const [upperSums, lowerSums] = [new Float64Array(BINS), new Float64Array(BINS)];
  let takenMass = 0;
  let leftMass = 0;
  for (let j = 0; j < n; j++) {
    const minWeight = Math.exp((lower[j] as number) - maxUpper);
    if (j < sinks || j >= n - recent) {
      takenMass += minWeight;
      continue;
    }
    const distance = maxUpper - (upper[j] as number);
    const maxWeight = Math.exp(-distance);
    const bin = Math.min(BINS - 1, Math.floor(distance * BINS_PER_NAT));
    counts[bin] = (counts[bin] as number) + 1;
    upperSums[bin] = (upperSums[bin] as number) + maxWeight;
    lowerSums[bin] = (lowerSums[bin] as number) + minWeight;
    leftMass += maxWeight;
  }
  let count = sinks + recent;
  // What is left is never quite 0 by subtraction.
  const allowed = tailMass - 1e-12;
  for (let bin = 0; bin < BINS && leftMass > allowed * (takenMass + leftMass); bin++) {
    count += counts[bin] as number;
    takenMass += lowerSums[bin] as number;
    leftMass -= upperSums[bin] as number;
  }
  return Math.max(1, Math.min(n, count));
}

/** Bounds on the sum over the keys that are not among the first `count` positions, and on their share. */
function boundUnselected(
  work: GroupWork,
  lower: Float32Array,
  count: number,
): { tailBound: RunningLogSumExp; tailShare: number } {
  const primary = primaryRegion(work);
  const { f32 } = primary.views();
  const { scores, quantizedScores, pooled } = primary.workspace;
  const positions = selectedPositions(work);
  // The upper bounds without those of the taken keys, and the taken keys' lower bounds.
  const unselectedUpper = f32.subarray(quantizedScores / 4, quantizedScores / 4 + work.n);
  unselectedUpper.set(f32.subarray(scores / 4, scores / 4 + work.n));
  for (let i = 0; i < count; i++) {
    const position = positions[i] as number;
    f32[pooled / 4 + i] = lower[position] as number;
    unselectedUpper[position] = Number.NEGATIVE_INFINITY;
  }
  const logTaken = logSumExp(extendLogSumExp(primary, pooled, count)) + Math.log1p(-SUM_SLACK);
  const { max, sum } = extendLogSumExp(primary, quantizedScores, work.n);
  const tailBound = { max, sum: sum * (1 + SUM_SLACK) };
  const share = 1 / (1 + Math.exp(logTaken - logSumExp(tailBound)));
  // The bounds are of the query as it was scaled and rounded: no score moves by more than this, no share by e^(2 x it).
  const factor = Math.exp(2 * maxScoreRoundingError(work)) * (1 + 1e-12);
  // A share that float64 no longer has is not nothing, least of all where rounding may be anything.
  return { tailBound, tailShare: factor === Number.POSITIVE_INFINITY ? 1 : Math.min(1, share * factor + 2 ** -126) };
}

function maxOf(bounds: Float32Array): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < bounds.length; j++) if ((bounds[j] as number) > max) max = bounds[j] as number;
  return max;
}
