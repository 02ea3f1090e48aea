/**
 * The sieve: a scan of the signs of all keys, a sample drawn by what they promise, and of the sample the heaviest keys
 * exactly. One sample serves all query heads of a group.
 *
 *   s1 = scores by signs; L1 = ln sum e^s1                          9 bytes a key
 *   g_j = .75 max over heads of (s1_j - L1)                        the share of a key, tempered
 *   key j is drawn with probability pi_j = min(1, e^(g_j - t)),    t so that at most m are drawn
 *   s4 = scores of the sample by 4-bit codes                       36 bytes a key of the sample
 *   ln w_j = max(s4, min(s4 - ln pi_j, cap))                       Horvitz and Thompson's weights, capped
 *   the heaviest keys of the sample are attended exactly, at most as many as the budget says; the others by their codes.
 *
 * A sum over the sample, weighted by 1 / pi, estimates the sum over all keys without bias (Horvitz and Thompson 1952;
 * for attention MagicPIG, arXiv 2410.16179, and vAttention, 2510.05688): nothing is cut off, so a flat head loses
 * accuracy slowly. The share is tempered because signs are noisy: a key that they undervalue by 2 nats is drawn too
 * rarely by 1.5 only. The cap trades a little bias for the rare key that was thought light and is heavy. The draw moves
 * on with every position, so that no key is passed over for ever.
 */
import type { Budget } from '../budgets/budget.ts';
import { estimatedSum, openFrom, prepareCodes, scanAll, scanBitsOf, scoreListed } from '../cache/code-query.ts';
import { type HeadQuery, homeOf, logOf, positionsBuffer, strideOf, sumOver } from '../cache/head-query.ts';
import { type SamplePlan, type SieveStep, scanStride } from '../kernels/code-kernels.ts';
import { codedBytes, rowBytes } from '../kernels/layout.ts';
import {
  keptKeys,
  keysOfGroup,
  RECENT_KEYS,
  type Sample,
  type Selection,
  type Selector,
  SINK_KEYS,
  selectAll,
} from './selector.ts';
import { signBytesOf } from './sign-scan.ts';

/** Keys of the sample for each key that may be attended exactly. */
const SAMPLE_KEYS = 3;
/** The same for a sample that a block of queries shares, in the mean over the heads. */
const BLOCK_KEYS = 3.5;
/** A sample has at least so many keys beside those that are drawn for certain. */
const SMALLEST_SAMPLE = 128;
/** The share of a key counts to this power in its probability. */
const TEMPER = 0.75;
/** A key's weight is at most so many times the weight that is drawn for certain. */
const CAP = 4;
/** A key of the sample is attended exactly where its share is at least so many times 1 / m. */
const EXACT_SHARE = 8;
/** With a budget of tail mass, a sample that leaves too much is drawn again, so many times as large. */
const GROWTH = 2;
const SMALLEST_BUDGET = 64;

export default function createSieve(): Selector {
  return {
    name: 'sieve',
    planes: ['int4'],
    unit: 'group',
    certain: false,
    sampleSize,
    blocks: { sampleSize: (keys) => BLOCK_KEYS * keys, temper: TEMPER },
    select(query, budget) {
      const keys = keysOfGroup(query, budget);
      if (sampleSize(keys, query.n) >= query.n && keys >= query.n && budget.tailMass === undefined)
        return all(query, 0);
      const scanned = scan(query);
      if (budget.tailMass === undefined) return choose(query, keys, scanned).selection;
      for (let tried = Math.min(SMALLEST_BUDGET, keys); tried < query.n; tried *= GROWTH) {
        const { selection, tailMass } = choose(query, tried, scanned, 0);
        if (tailMass <= budget.tailMass) return selection;
        // The open page's scores, which the choice has overwritten.
        scanAll(query, scanned.bits);
      }
      return all(query, scanned.bytes);
    },
  };
}

const keptOf = (n: number): number => SINK_KEYS + n - Math.min(n - RECENT_KEYS, openFrom(n));

const sampleSize = (keys: number, n: number): number => Math.max(SAMPLE_KEYS * keys, keptOf(n) + SMALLEST_SAMPLE);

function all(query: HeadQuery, bytesScanned: number): Selection {
  selectAll(positionsBuffer(query), query.n);
  return { count: query.n, bytesScanned };
}

interface Scan {
  /** ln of the sum of e^score over all keys, by their signs, for each row. */
  logSums: number[];
  bytes: number;
  /** Binary digits of its scores. */
  bits: number;
}

/** Bytes of the scan. */
export const scanBytes = ({ n, shape }: HeadQuery): number =>
  signBytesOf(n, shape.headDim, rowBytes(shape.headDim, shape.precision));

/** The whole step for `CodeKernels.sieve`. Undefined where a budget asks for more than a number of keys, or for all of them. */
export function sieveStep(query: HeadQuery, budget: Budget): SieveStep | undefined {
  const { n, rows } = query;
  const keys = keysOfGroup(query, budget);
  const most = sampleSize(keys, n);
  if (budget.tailMass !== undefined || (keys >= n && most >= n)) return undefined;
  return {
    n,
    rows,
    bits: scanBitsOf(query),
    plan: samplePlan(n, most),
    temper: TEMPER,
    logCap: Math.log(CAP),
    exact: exactPlan(keys, n, EXACT_SHARE / most),
  };
}

/** Scores all keys by their signs. */
function scan(query: HeadQuery): Scan {
  const bits = scanBitsOf(query);
  prepareCodes(query);
  scanAll(query, bits);
  const logSums = Array.from({ length: query.rows }, (_, row) => logOf(estimatedSum(query, row, bits)));
  return { logSums, bits, bytes: scanBytes(query) };
}

/**
 * Draws the sample of a budget of `keys`, and splits it. `exactShare` is the least share, times 1 / m, of a key that is
 * attended exactly.
 */
function choose(
  query: HeadQuery,
  keys: number,
  { logSums, bytes, bits }: Scan,
  exactShare: number = EXACT_SHARE,
): { selection: Selection; tailMass: number } {
  const { n, rows } = query;
  const home = homeOf(query);
  const { kernels, views, workspace } = home;
  const stride = strideOf(query);
  const m = sampleSize(keys, n);

  views().f32.set(logSums, workspace.offsets / 4);
  const { scans, offsets, pooled, drawTables, indices, logProbabilities, threshold, groups, scratch } = workspace;
  kernels.poolScans(scans, scanStride(n), rows, n, bits, offsets, TEMPER, pooled, false);
  const lists = [indices, logProbabilities, threshold, groups] as const;
  const drawn = kernels.drawKeys(pooled, samplePlan(n, m), bits, drawTables, ...lists, scratch);

  // The open page's keys, all drawn, come last; their exact scores are at the end of the rows and stay there.
  const open = n - openFrom(n);
  const coded = drawn - open;
  scoreListed(query, coded);
  const certainAbove = views().f32[threshold / 4] as number;
  const caps = logSums.map((logSum) => Math.log(CAP) + certainAbove / TEMPER + logSum);
  views().f32.set(caps, workspace.caps / 4);
  kernels.weighScores(workspace.scores, stride, rows, coded, { logProbabilities, caps: workspace.caps });

  const totals = logSums.map((_, row) => {
    const scores = workspace.scores + row * stride * 4;
    return logOf(sumOver(home, scores + (n - open) * 4, open, sumOver(home, scores, coded)));
  });
  views().f32.set(totals, workspace.offsets / 4);
  kernels.poolScores(workspace.scores, stride, rows, coded, workspace.offsets, workspace.pooled);

  const { exact, parts } = split(query, coded, exactPlan(keys, n, exactShare / m));
  const positions = positionsBuffer(query);
  const probabilities = views().f32.subarray(logProbabilities / 4);
  for (let i = 0; i < open; i++) {
    positions[exact + i] = n - open + i;
    probabilities[exact + i] = 0;
  }
  const selection = {
    count: exact + open,
    sample: { parts },
    bytesScanned: bytes + coded * codedBytes(query.shape.headDim),
  };
  return { selection, tailMass: shareOfCoded(query, parts, totals) };
}

/** The largest share, over the rows, of the keys that are not attended exactly. */
function shareOfCoded(query: HeadQuery, [a, b, c]: Sample['parts'], totals: readonly number[]): number {
  const home = homeOf(query);
  const stride = strideOf(query);
  const shares = totals.map((total, row) => {
    const { codedScores } = home.workspace;
    return Math.exp(logOf(sumOver(home, codedScores + row * stride * 4, a + b + c)) - total);
  });
  return Math.max(...shares);
}

/** Which keys are drawn for certain, for a sample of `most`. */
const samplePlan = (n: number, most: number): SamplePlan => ({
  n,
  sinks: Math.min(n, SINK_KEYS),
  keptFrom: Math.max(0, n - (keptOf(n) - SINK_KEYS)),
  most,
  turn: n,
});

/** Which keys are attended exactly, beside those of the open page: sinks and recent keys come first. */
function exactPlan(keys: number, n: number, leastShare: number): SieveStep['exact'] {
  const open = n - openFrom(n);
  const most = Math.max(SINK_KEYS, keys - open);
  const { sinks, recent } = keptKeys(most + open);
  return { most, leastLog: Math.log(leastShare), sinks, recentFrom: n - recent };
}

/**
 * Splits the sample, whose shares stand in `pooled` and whose log-weights in the scores, both (coded): the largest
 * shares go to the front of the positions, with the sinks and the recent keys; the others into the coded list.
 */
function split(
  query: HeadQuery,
  coded: number,
  { most, leastLog, sinks, recentFrom }: SieveStep['exact'],
): { exact: number; parts: Sample['parts'] } {
  const { rows } = query;
  const { kernels, views, workspace } = homeOf(query);
  const { indices, logProbabilities, scores, pooled: shares, codedIndices, codedScores, parts, scratch } = workspace;
  const { f32, i32 } = views();
  // Sinks and recent keys are at the ends of the list.
  const position = (j: number) => i32[indices / 4 + j] as number;
  for (let j = 0; j < coded && position(j) < sinks; j++) f32[shares / 4 + j] = Number.MAX_VALUE;
  for (let j = coded - 1; j >= 0 && position(j) >= recentFrom; j--) f32[shares / 4 + j] = Number.MAX_VALUE;

  const chosenCount = Math.min(most, coded);
  if (chosenCount > 0) kernels.selectLargest(shares, coded, chosenCount, 0, codedIndices, scratch);
  const stride = strideOf(query);
  const exact = kernels.splitSample(
    { indices, logProbabilities, scores, stride, rows, count: coded },
    {
      ...{ shares, chosen: codedIndices, chosenCount, least: leastLog },
      ...{ codedIndices, codedScores, codedStride: stride, parts },
    },
  );
  const [certain = 0, oneHalf = 0, otherHalf = 0] = i32.subarray(parts / 4, parts / 4 + 3);
  return { exact, parts: [certain, oneHalf, otherHalf] };
}
