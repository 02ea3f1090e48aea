/**
 * Bounds by int8 codes: every key's score is known to lie between two numbers, so the keys that are left have a sum that
 * is bounded, and so has their share of the softmax. Keys are taken in the order of their upper bounds.
 *
 * With U the sum of e^upper over the keys left and L that of e^lower over the keys taken, the share left is at most
 * U / (L + U), since x / (a + x) grows with x and falls with a.
 */
import { boundAll, openFrom } from '../cache/code-query.ts';
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
      for (; count < n; count = Math.ceil(count * GROWTH)) {
        selectByScores(query, count);
        const bounds = boundTail(query, lower, count);
        if (tailMass === undefined || bounds.tailShare <= tailMass) return { count, bytesScanned, ...bounds };
      }
      selectByScores(query, n);
      return { count: n, bytesScanned };
    },
  };
}

/** The lower bounds (n), once `boundAll` has found them. */
function lowerBoundsOf({ segments, n }: HeadQuery): Float32Array {
  const parts = segments.map(({ region, from, to, before }) => {
    const start = region.workspace.lowerBounds / 4 + before;
    return region.views().f32.subarray(start, start + to - from);
  });
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return only;
  const all = new Float32Array(n);
  for (const [i, { from }] of segments.entries()) all.set(parts[i] as Float32Array, from);
  return all;
}

/**
 * How many keys, beside the kept ones by their upper bounds, leave at most a share `tailMass`: counted by a histogram
 * of the bounds, whose last bin goes in whole. What comes of it is bounded again once the keys are chosen.
 */
function keysForShare(query: HeadQuery, lower: Float32Array, tailMass: number): number {
  const { n } = query;
  const upper = scoresOf(query);
  const { sinks, recent } = keptKeys(n);
  const largest = upper.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
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
  const moved = 1.01 * 2 ** -24 * (query.norms[0] as number) * query.keyNorm;
  // A share that float64 no longer has is not nothing.
  return { tailBound, tailShare: Math.min(1, share * Math.exp(2 * moved) * (1 + 1e-12) + 2 ** -126) };
}
