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
import {
  extendLogSumExp,
  type GroupWork,
  logSumExp,
  primaryRegion,
  scoreStrideOf,
  selectedPositions,
} from '../group/group-work.ts';
import {
  approximateLogSumExp,
  firstUnquantizedKey,
  prepareQuantizedQueries,
  scanAllKeys,
  scoreQuantizedKeys,
  signScanBytes,
  workScanFractionBits,
} from '../group/quantized-work.ts';
import { quantizedRowBytes, rowBytes } from '../kernels/layout.ts';
import { type DrawPlan, type SieveStep, scanStride } from '../kernels/quantized-kernels.ts';
import {
  groupBudget,
  KEPT_RECENT_KEYS,
  type Selection,
  type Selector,
  SINK_KEYS,
  type SieveSample,
  selectAllKeys,
  sinksAndRecent,
} from '../selectors/selector.ts';

/** Keys of the sample for each key that may be attended exactly. */
const SAMPLE_KEYS_PER_BUDGET_KEY = 3;
/** The same for a sample that a block of queries shares, in the mean over the heads. */
const BLOCK_SAMPLE_KEYS_PER_BUDGET_KEY = 3.5;
/** A sample has at least so many keys beside those that are drawn for certain. */
const MIN_DRAWN_KEYS = 128;
/** The share of a key counts to this power in its probability. */
const PROPOSAL_EXPONENT = 0.75;
/** A key's weight is at most so many times the weight that is drawn for certain. */
const MAX_WEIGHT_RATIO = 4;
/** A key of the sample is attended exactly where its share is at least so many times 1 / m. */
const MIN_EXACT_SHARE = 8;
/** With a budget of tail mass, a sample that leaves too much is drawn again, so many times as large. */
const SAMPLE_GROWTH = 2;
const MIN_MASS_BUDGET = 64;

export default function createSieve(): Selector {
  return {
    name: 'sieve',
    encodings: ['int4'],
    unit: 'group',
    certain: false,
    sampleSize,
    blockSampling: {
      sampleSize: (keys) => BLOCK_SAMPLE_KEYS_PER_BUDGET_KEY * keys,
      proposalExponent: PROPOSAL_EXPONENT,
    },
    select(work, budget) {
      const keys = groupBudget(work, budget);
      if (sampleSize(keys, work.n) >= work.n && keys >= work.n && budget.tailMass === undefined)
        return selectEverything(work, 0);
      const scanResult = scanSignatures(work);
      if (budget.tailMass === undefined) return drawAndSplit(work, keys, scanResult).selection;
      for (let triedKeys = Math.min(MIN_MASS_BUDGET, keys); triedKeys < work.n; triedKeys *= SAMPLE_GROWTH) {
        const { selection, tailMass } = drawAndSplit(work, triedKeys, scanResult, 0);
        if (tailMass <= budget.tailMass) return selection;
        // The open page's scores, which the choice has overwritten.
        scanAllKeys(work, scanResult.bits);
      }
      return selectEverything(work, scanResult.bytes);
    },
  };
}

const alwaysIncludedKeys = (n: number): number =>
  SINK_KEYS + n - Math.min(n - KEPT_RECENT_KEYS, firstUnquantizedKey(n));

const sampleSize = (keys: number, n: number): number =>
  Math.max(SAMPLE_KEYS_PER_BUDGET_KEY * keys, alwaysIncludedKeys(n) + MIN_DRAWN_KEYS);

function selectEverything(work: GroupWork, bytesScanned: number): Selection {
  selectAllKeys(selectedPositions(work), work.n);
  return { count: work.n, bytesScanned };
}

interface ScanResult {
  /** ln of the sum of e^score over all keys, by their signs, for each row. */
  logSums: number[];
  bytes: number;
  /** Binary digits of its scores. */
  bits: number;
}

/** Bytes of the scan. */
export const scanBytes = ({ n, shape }: GroupWork): number =>
  signScanBytes(n, shape.headDim, rowBytes(shape.headDim, shape.precision));

/** The whole step for `CodeKernels.sieve`. Undefined where a budget asks for more than a number of keys, or for all of them. */
export function planSieveStep(work: GroupWork, budget: Budget): SieveStep | undefined {
  const { n, rows } = work;
  const keys = groupBudget(work, budget);
  const sampleKeys = sampleSize(keys, n);
  if (budget.tailMass !== undefined || (keys >= n && sampleKeys >= n)) return undefined;
  return {
    n,
    rows,
    fractionBits: workScanFractionBits(work),
    plan: drawPlan(n, sampleKeys),
    proposalExponent: PROPOSAL_EXPONENT,
    logCap: Math.log(MAX_WEIGHT_RATIO),
    exact: planExactKeys(keys, n, MIN_EXACT_SHARE / sampleKeys),
  };
}

/** Scores all keys by their signs. */
function scanSignatures(work: GroupWork): ScanResult {
  const bits = workScanFractionBits(work);
  prepareQuantizedQueries(work);
  scanAllKeys(work, bits);
  const logSums = Array.from({ length: work.rows }, (_, row) => logSumExp(approximateLogSumExp(work, row, bits)));
  return { logSums, bits, bytes: scanBytes(work) };
}

/**
 * Draws the sample of a budget of `keys`, and splits it. `exactShare` is the least share, times 1 / m, of a key that is
 * attended exactly.
 */
function drawAndSplit(
  work: GroupWork,
  keys: number,
  { logSums, bytes, bits }: ScanResult,
  minExactShare: number = MIN_EXACT_SHARE,
): { selection: Selection; tailMass: number } {
  const { n, rows } = work;
  const primary = primaryRegion(work);
  const { kernels, views, workspace } = primary;
  const stride = scoreStrideOf(work);
  const sampleKeys = sampleSize(keys, n);

  views().f32.set(logSums, workspace.offsets / 4);
  const { signScores, offsets, pooled, drawTables, indices, logProbabilities, threshold, drawBlocks, scratch } =
    workspace;
  kernels.maxOverHeads(signScores, scanStride(n), rows, n, bits, offsets, PROPOSAL_EXPONENT, pooled, false);
  const lists = [indices, logProbabilities, threshold, drawBlocks] as const;
  const drawnKeys = kernels.drawKeys(pooled, drawPlan(n, sampleKeys), bits, drawTables, ...lists, scratch);

  // The open page's keys, all drawn, come last; their exact scores are at the end of the rows and stay there.
  const unquantizedKeys = n - firstUnquantizedKey(n);
  const quantizedKeys = drawnKeys - unquantizedKeys;
  scoreQuantizedKeys(work, quantizedKeys);
  const certainAbove = views().f32[threshold / 4] as number;
  const caps = logSums.map((logSum) => Math.log(MAX_WEIGHT_RATIO) + certainAbove / PROPOSAL_EXPONENT + logSum);
  views().f32.set(caps, workspace.logWeightCaps / 4);
  kernels.applyImportanceWeights(workspace.scores, stride, rows, quantizedKeys, {
    logProbabilities,
    caps: workspace.logWeightCaps,
  });

  const totalLogSums = logSums.map((_, row) => {
    const scores = workspace.scores + row * stride * 4;
    return logSumExp(
      extendLogSumExp(
        primary,
        scores + (n - unquantizedKeys) * 4,
        unquantizedKeys,
        extendLogSumExp(primary, scores, quantizedKeys),
      ),
    );
  });
  views().f32.set(totalLogSums, workspace.offsets / 4);
  kernels.maxScoresOverHeads(workspace.scores, stride, rows, quantizedKeys, workspace.offsets, workspace.pooled);

  const { exact: exactKeys, parts } = splitSample(
    work,
    quantizedKeys,
    planExactKeys(keys, n, minExactShare / sampleKeys),
  );
  const positions = selectedPositions(work);
  const probabilities = views().f32.subarray(logProbabilities / 4);
  for (let i = 0; i < unquantizedKeys; i++) {
    positions[exactKeys + i] = n - unquantizedKeys + i;
    probabilities[exactKeys + i] = 0;
  }
  const selection = {
    count: exactKeys + unquantizedKeys,
    sample: { parts },
    bytesScanned: bytes + quantizedKeys * quantizedRowBytes(work.shape.headDim),
  };
  return { selection, tailMass: quantizedShare(work, parts, totalLogSums) };
}

/** The largest share, over the rows, of the keys that are not attended exactly. */
function quantizedShare(work: GroupWork, [a, b, c]: SieveSample['parts'], totalLogSums: readonly number[]): number {
  const primary = primaryRegion(work);
  const stride = scoreStrideOf(work);
  const shares = totalLogSums.map((total, row) => {
    const { quantizedScores } = primary.workspace;
    return Math.exp(logSumExp(extendLogSumExp(primary, quantizedScores + row * stride * 4, a + b + c)) - total);
  });
  return Math.max(...shares);
}

/** Which keys are drawn for certain, for a sample of `most`. */
const drawPlan = (n: number, maxKeys: number): DrawPlan => ({
  n,
  sinks: Math.min(n, SINK_KEYS),
  recentFrom: Math.max(0, n - (alwaysIncludedKeys(n) - SINK_KEYS)),
  maxKeys,
  seed: n,
});

/** Which keys are attended exactly, beside those of the open page: sinks and recent keys come first. */
function planExactKeys(keys: number, n: number, minShare: number): SieveStep['exact'] {
  const unquantizedKeys = n - firstUnquantizedKey(n);
  const maxExactKeys = Math.max(SINK_KEYS, keys - unquantizedKeys);
  const { sinks, recent } = sinksAndRecent(maxExactKeys + unquantizedKeys);
  return { maxKeys: maxExactKeys, minLogShare: Math.log(minShare), sinks, recentFrom: n - recent };
}

/**
 * Splits the sample, whose shares stand in `pooled` and whose log-weights in the scores, both (coded): the largest
 * shares go to the front of the positions, with the sinks and the recent keys; the others into the coded list.
 */
function splitSample(
  work: GroupWork,
  quantizedKeys: number,
  { maxKeys: maxExactKeys, minLogShare, sinks, recentFrom }: SieveStep['exact'],
): { exact: number; parts: SieveSample['parts'] } {
  const { rows } = work;
  const { kernels, views, workspace } = primaryRegion(work);
  const {
    indices,
    logProbabilities,
    scores,
    pooled: shares,
    quantizedIndices,
    quantizedScores,
    sampleParts: parts,
    scratch,
  } = workspace;
  const { f32, i32 } = views();
  // Sinks and recent keys are at the ends of the list.
  const positionAt = (j: number) => i32[indices / 4 + j] as number;
  for (let j = 0; j < quantizedKeys && positionAt(j) < sinks; j++) f32[shares / 4 + j] = Number.MAX_VALUE;
  for (let j = quantizedKeys - 1; j >= 0 && positionAt(j) >= recentFrom; j--) f32[shares / 4 + j] = Number.MAX_VALUE;

  const heaviestCount = Math.min(maxExactKeys, quantizedKeys);
  if (heaviestCount > 0) kernels.selectLargest(shares, quantizedKeys, heaviestCount, 0, quantizedIndices, scratch);
  const stride = scoreStrideOf(work);
  const exactKeys = kernels.splitSample(
    { indices, logProbabilities, scores, stride, rows, count: quantizedKeys },
    {
      shares,
      selected: quantizedIndices,
      selectedCount: heaviestCount,
      minShare: minLogShare,
      quantizedIndices,
      quantizedScores,
      quantizedStride: stride,
      parts,
    },
  );
  const [certainKeys = 0, firstHalf = 0, secondHalf = 0] = i32.subarray(parts / 4, parts / 4 + 3);
  return { exact: exactKeys, parts: [certainKeys, firstHalf, secondHalf] };
}
