/**
 * Bounds by int8 codes: every key's score is known to lie between two numbers, so the keys that are left have a sum that
 * is bounded, and so has their share of the softmax. Keys are taken in the order of their upper bounds.
 *
 * With U the sum of e^upper over the keys left and L that of e^lower over the keys taken, the share left is at most
 * U / (L + U), since x / (a + x) grows with x and falls with a.
 */
import { boundAll, lowerBoundsOf, movedByRounding, openFrom } from '../cache/code-query.ts';
import {
  type HeadQuery,
  homeOf,
  logOf,
  positionsBuffer,
  type SoftmaxSum,
  scoresOf,
  sumOver,
} from '../cache/head-query.ts';
import { codeDim, PAGE_KEYS, pagesFor, rowBytes } from '../kernels/layout.ts';
import { selectByScores } from './by-scores.ts';
import { keptKeys, type Selector } from './selector.ts';

/**
 * Sums of up to 2^31 weights in float32, 64 at a time and these in float64, are off by less than this share, rounding
 * of the weights included: 75 u of a difference of scores and 4 u of e^x, and 16 u of the additions, u = 2^-24.
 */
const SUM_SLACK = 2 ** -15;
/** Bounds are told apart to this fraction of a nat, over so many nats below the largest: see `keysForShare`. */
const BINS_A_NAT = 64;
const BINS = 80 * BINS_A_NAT;
/** So many times as many keys are tried where the ones that were counted will not do. */
const GROWTH = 1.05;

export default function createInt8Scan(): Selector {
  return {
    name: 'int8-scan',
    planes: ['int8'],
    unit: 'head',
    certain: true,
    select(query, budget) {
      const { n, layer, head, shape } = query;
      boundAll(query);
      const d = codeDim(shape.headDim);
      const open = n - openFrom(n);
      const coded = pagesFor(openFrom(n)) * (PAGE_KEYS * (d + 4) + d + 4);
      const bytesScanned = coded + open * rowBytes(shape.headDim, shape.precision);
      const { tailMass } = budget;
      const lower = lowerBoundsOf(query);
      let count = tailMass === undefined ? budget.keys({ n, layer, head }) : keysForShare(query, lower, tailMass);
      const needed = () => (tailMass === undefined ? {} : { keysNeeded: keysNeeded(scoresOf(query), lower, tailMass) });
      for (; count < n; count = Math.ceil(count * GROWTH)) {
        selectByScores(query, count);
        const bounds = boundTail(query, lower, count);
        const found = { count, bytesScanned, bounded: true, ...needed(), ...bounds };
        if (tailMass === undefined || bounds.tailShare <= tailMass) return found;
      }
      selectByScores(query, n);
      return { count: n, bytesScanned, ...needed() };
    },
  };
}

/**
 * How many keys, beside the kept ones by their upper bounds, leave at most a share `tailMass`: counted by a histogram
 * of the bounds, whose last bin goes in whole. What comes of it is bounded again once the keys are chosen.
 */
function keysForShare(query: HeadQuery, lower: Float32Array, tailMass: number): number {
  const { n } = query;
  const upper = scoresOf(query);
  const { sinks, recent } = keptKeys(n);
  const largest = largestOf(upper);
  const counts = new Int32Array(BINS);
  const [upperSums, lowerSums] = [new Float64Array(BINS), new Float64Array(BINS)];
  let taken = 0;
  let left = 0;
  for (let j = 0; j < n; j++) {
    const least = Math.exp((lower[j] as number) - largest);
    if (j < sinks || j >= n - recent) {
      taken += least;
      continue;
    }
    const below = largest - (upper[j] as number);
    const most = Math.exp(-below);
    const bin = Math.min(BINS - 1, Math.floor(below * BINS_A_NAT));
    counts[bin] = (counts[bin] as number) + 1;
    upperSums[bin] = (upperSums[bin] as number) + most;
    lowerSums[bin] = (lowerSums[bin] as number) + least;
    left += most;
  }
  let count = sinks + recent;
  // What is left is never quite 0 by subtraction.
  const allowed = tailMass - 1e-12;
  for (let bin = 0; bin < BINS && left > allowed * (taken + left); bin++) {
    count += counts[bin] as number;
    taken += lowerSums[bin] as number;
    left -= upperSums[bin] as number;
  }
  return Math.max(1, Math.min(n, count));
}

/** Bounds on the sum over the keys that are not among the first `count` positions, and on their share. */
function boundTail(query: HeadQuery, lower: Float32Array, count: number): { tailBound: SoftmaxSum; tailShare: number } {
  const home = homeOf(query);
  const { f32 } = home.views();
  const { scores, codedScores, pooled } = home.workspace;
  const positions = positionsBuffer(query);
  // The upper bounds without those of the taken keys, and the taken keys' lower bounds.
  const left = f32.subarray(codedScores / 4, codedScores / 4 + query.n);
  left.set(f32.subarray(scores / 4, scores / 4 + query.n));
  for (let i = 0; i < count; i++) {
    const position = positions[i] as number;
    f32[pooled / 4 + i] = lower[position] as number;
    left[position] = Number.NEGATIVE_INFINITY;
  }
  const logTaken = logOf(sumOver(home, pooled, count)) + Math.log1p(-SUM_SLACK);
  const { largest, sum } = sumOver(home, codedScores, query.n);
  const tailBound = { largest, sum: sum * (1 + SUM_SLACK) };
  const share = 1 / (1 + Math.exp(logTaken - logOf(tailBound)));
  // The bounds are of the query as it was scaled and rounded: no score moves by more than this, no share by e^(2 x it).
  const moved = movedByRounding(query);
  // A share that float64 no longer has is not nothing.
  return { tailBound, tailShare: Math.min(1, share * Math.exp(2 * moved) * (1 + 1e-12) + 2 ** -126) };
}

/**
 * The fewest keys that any choice could leave at most a share `tailMass` with, so far as the bounds tell: at least so
 * many does the oracle need. k keys have at most the sum of the k largest e^upper, and leave at least that of the n - k
 * smallest e^lower. By histograms: whole bins are counted to the choice's advantage.
 */
function keysNeeded(upper: Float32Array, lower: Float32Array, tailMass: number): number {
  const n = upper.length;
  const largest = largestOf(upper);
  if (!Number.isFinite(largest)) return 1;
  const [most, least] = [histogramOf(upper, largest), histogramOf(lower, largest)];
  let left = least.sums.reduce((a, b) => a + b, 0);
  let [taken, k] = [0, 0];
  // How far into each histogram k keys reach, and the keys of the bin that are not taken yet.
  const at = { most: 0, least: 0 };
  const rest = { most: most.counts[0] as number, least: least.counts[0] as number };
  // The share may have been rounded down to float32.
  const enough = tailMass * (1 + 1e-6);
  for (; k < n && left > enough * (taken + left); k++) {
    while (rest.most === 0) rest.most = most.counts[++at.most] as number;
    while (rest.least === 0) rest.least = least.counts[++at.least] as number;
    taken += Math.exp(-at.most / BINS_A_NAT);
    left = Math.max(0, left - Math.exp(-at.least / BINS_A_NAT));
    rest.most--;
    rest.least--;
  }
  return Math.max(1, k);
}

/** Keys by how far their bounds lie below `largest`, and their sums of e^(bound - largest). */
function histogramOf(bounds: Float32Array, largest: number): { counts: Int32Array; sums: Float64Array } {
  const [counts, sums] = [new Int32Array(BINS), new Float64Array(BINS)];
  // By index: this runs over all keys of every row, and an iterator is several times slower.
  for (let j = 0; j < bounds.length; j++) {
    const bound = bounds[j] as number;
    const bin = Math.max(0, Math.min(BINS - 1, Math.floor((largest - bound) * BINS_A_NAT)));
    counts[bin] = (counts[bin] as number) + 1;
    sums[bin] = (sums[bin] as number) + Math.exp(bound - largest);
  }
  return { counts, sums };
}

function largestOf(bounds: Float32Array): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < bounds.length; j++) if ((bounds[j] as number) > largest) largest = bounds[j] as number;
  return largest;
}
