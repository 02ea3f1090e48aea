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
import {
  boundAllScores,
  firstUnquantizedKey,
  maxScoreRoundingError,
  scoreLowerBounds,
} from '../group/quantized-work.ts';
import { PAGE_KEYS, pagesFor, rotatedDim, rowBytes } from '../kernels/layout.ts';
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
    encodings: ['int8'],
    unit: 'head',
    certain: true,
    select(work, budget) {
      const { n, shape } = work;
      boundAllScores(work);
      const d = rotatedDim(shape.headDim);
      const unquantizedKeys = n - firstUnquantizedKey(n);
      const quantizedBytes = pagesFor(firstUnquantizedKey(n)) * (PAGE_KEYS * (d + 4) + d + 4);
      const bytesScanned = quantizedBytes + unquantizedKeys * rowBytes(shape.headDim, shape.precision);
      const { tailMass } = budget;
      const lower = scoreLowerBounds(work);
      let count = budget.tailMass === undefined ? budget.keys(work) : keysForMassBound(work, lower, budget.tailMass);
      const keysNeededFor = () =>
        tailMass === undefined ? {} : { keysNeeded: minKeysForMass(rowScores(work), lower, tailMass) };
      for (; count < n; count = Math.ceil(count * RETRY_GROWTH)) {
        selectByScores(work, count);
        const bounds = boundUnselected(work, lower, count);
        const result = { count, bytesScanned, hasScoreBounds: true, ...keysNeededFor(), ...bounds };
        if (tailMass === undefined || bounds.tailShare <= tailMass) return result;
      }
      selectByScores(work, n);
      return { count: n, bytesScanned, ...keysNeededFor() };
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
  const roundingError = maxScoreRoundingError(work);
  // A share that float64 no longer has is not nothing.
  return { tailBound, tailShare: Math.min(1, share * Math.exp(2 * roundingError) * (1 + 1e-12) + 2 ** -126) };
}

/**
 * Minimum number of keys of any selection that leaves at most `tailMass`, as far as the bounds tell: the oracle needs at
 * least that many. k keys have at most the sum of the k largest e^upper and leave at least that of the n - k smallest
 * e^lower. Counted by histograms, whole bins in favour of the selection.
 */
function minKeysForMass(upper: Float32Array, lower: Float32Array, tailMass: number): number {
  const n = upper.length;
  const max = maxOf(upper);
  if (!Number.isFinite(max)) return 1;
  const [upperBins, lowerBins] = [histogramOf(upper, max), histogramOf(lower, max)];
  let left = lowerBins.sums.reduce((a, b) => a + b, 0);
  let [taken, k] = [0, 0];
  // How far into each histogram k keys reach, and the keys of the bin that are not taken yet.
  const at = { most: 0, least: 0 };
  const rest = { most: upperBins.counts[0] as number, least: lowerBins.counts[0] as number };
  // The share may have been rounded down to float32.
  const allowedMass = tailMass * (1 + 1e-6);
  for (; k < n && left > allowedMass * (taken + left); k++) {
    while (rest.most === 0) rest.most = upperBins.counts[++at.most] as number;
    while (rest.least === 0) rest.least = lowerBins.counts[++at.least] as number;
    taken += Math.exp(-at.most / BINS_PER_NAT);
    left = Math.max(0, left - Math.exp(-at.least / BINS_PER_NAT));
    rest.most--;
    rest.least--;
  }
  return Math.max(1, k);
}

/** Keys by how far their bounds lie below `largest`, and their sums of e^(bound - largest). */
function histogramOf(bounds: Float32Array, max: number): { counts: Int32Array; sums: Float64Array } {
  const [counts, sums] = [new Int32Array(BINS), new Float64Array(BINS)];
  // By index: this runs over all keys of every row, and an iterator is several times slower.
  for (let j = 0; j < bounds.length; j++) {
    const bound = bounds[j] as number;
    const bin = Math.max(0, Math.min(BINS - 1, Math.floor((max - bound) * BINS_PER_NAT)));
    counts[bin] = (counts[bin] as number) + 1;
    sums[bin] = (sums[bin] as number) + Math.exp(bound - max);
  }
  return { counts, sums };
}

function maxOf(bounds: Float32Array): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < bounds.length; j++) if ((bounds[j] as number) > max) max = bounds[j] as number;
  return max;
}
