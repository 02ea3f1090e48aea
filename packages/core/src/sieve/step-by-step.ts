/**
 * One position of a group, kernel by kernel: what `step.ts` does in one kernel call, for the cases that the call cannot
 * do. Those are keys in several regions, whose parts meet in the primary region; caches that keep int8 alone, whose
 * exact rows have to be dequantized first; and budgets of tail mass, which try samples until one is large enough.
 */
import type { Budget } from '../budgets/budget.ts';
import { normOf } from '../group/estimates.ts';
import {
  extendLogSumExp,
  type GroupWork,
  logSumExp,
  normalizedOutputs,
  primaryRegion,
  readLogSumExp,
  readStateSums,
  scoreStrideOf,
  selectedPositions,
  type ThreadRegion,
} from '../group/group-work.ts';
import {
  approximateLogSumExp,
  attendQuantized,
  firstUnquantizedKey,
  int4ScoreErrors,
  mergeQuantizedStates,
  prepareQuantizedQueries,
  scanAllKeys,
  scoreQuantizedKeys,
  workScanFractionBits,
} from '../group/quantized-work.ts';
import { quantizedRowBytes, rotatedDim } from '../kernels/layout.ts';
import { type SieveStep, scanStride } from '../kernels/quantized-kernels.ts';
import { groupBudget, type Selection, type SieveSample, selectAllKeys } from '../selectors/selector.ts';
import type { TailEstimate } from '../tails/tail.ts';
import { MAX_WEIGHT_RATIO, MIN_EXACT_SHARE, MIN_MASS_BUDGET, PROPOSAL_EXPONENT, SAMPLE_GROWTH } from './constants.ts';
import { estimateError, readSampleFindings } from './error-estimate.ts';
import { halfSampleDistance, halfSampleOf } from './half-samples.ts';
import { coversAllKeys, planDraw, planExactKeys, quantizedShareFactor, sampleSize, scanBytes } from './plan.ts';
import { undrawnSquaresOf } from './undrawn.ts';

/** Draws a sample and selects of it the keys that are attended exactly; the rest of it is `Selection.sample`. */
export function selectSample(work: GroupWork, budget: Budget): Selection {
  const keys = groupBudget(work, budget);
  const { tailMass: maxTailMass } = budget;
  if (maxTailMass === undefined) {
    return coversAllKeys(keys, work.n)
      ? selectEverything(work, 0)
      : drawAndSplit(work, keys, MIN_EXACT_SHARE * quantizedShareFactor(int4ScoreErrors(work)), scanSigns(work))
          .selection;
  }
  const scan = scanSigns(work);
  for (let triedKeys = Math.min(MIN_MASS_BUDGET, keys); triedKeys < work.n; triedKeys *= SAMPLE_GROWTH) {
    // Every key that the budget has room for counts: none is too light to be attended exactly.
    const { selection, tailMass } = drawAndSplit(work, triedKeys, 0, scan);
    if (tailMass <= maxTailMass) return selection;
    // The split has overwritten the scores of the open page.
    scanAllKeys(work, scan.fractionBits);
  }
  return selectEverything(work, scanBytes(work));
}

/**
 * Adds the rest of a selection's sample to the state in `region`, by 4-bit keys and values, and estimates the error.
 */
export function addSample(work: GroupWork, { sample }: Selection, region: ThreadRegion): TailEstimate {
  // Where every key was selected there is nothing to add.
  if (sample === undefined) return { bytesRead: 0, keysQuantized: 0 };
  const { parts, logUndrawnSquares } = sample;
  const [certainKeys, firstHalf, secondHalf] = parts;
  const keysQuantized = certainKeys + firstHalf + secondHalf;
  const selected = readStateSums(region, work.rows).map(logSumExp);
  const { views, workspace } = primaryRegion(work);
  const squares = work.queryNorms.map((_, row) => ({
    logCertainSquares: logSumOfSquares(work, 0, certainKeys, row),
    logHalfSquares: logSumOfSquares(work, certainKeys, firstHalf + secondHalf, row),
  }));
  const distances = keysQuantized === 0 ? undefined : addQuantized(work, parts, region);

  const { headDim } = work.shape;
  const outputs = normalizedOutputs(region, work.rows, headDim);
  const scoreErrors = int4ScoreErrors(work);
  const errors = squares.map((quantizedSquares, row) => {
    const findings = {
      // Of these, `attendWeighted` has left the squares of the exact keys.
      ...readSampleFindings(views(), workspace.results, row),
      ...quantizedSquares,
      logUndrawnSquares: logUndrawnSquares[row] as number,
      halfSampleDistance: distances?.[row] ?? 0,
    };
    const sampled = {
      selected: selected[row] as number,
      total: logSumExp(readLogSumExp(region.views(), region.workspace.state + row * 8)),
      outputNorm: normOf(outputs.subarray(row * headDim, (row + 1) * headDim)),
      scoreError: scoreErrors[row] as number,
    };
    return estimateError(findings, sampled, work.rmsValueNorm);
  });
  // The values alone: the 4-bit keys were read when the sample was scored.
  return { bytesRead: keysQuantized * quantizedRowBytes(work.shape.headDim), keysQuantized, errors };
}

/** Adds the three parts of a sample to the state in `region`. Returns the distance of its halves for each row. */
function addQuantized(
  work: GroupWork,
  [certainKeys, firstHalf, secondHalf]: SieveSample['parts'],
  region: ThreadRegion,
): number[] {
  attendQuantized(work, 0, certainKeys, 0);
  attendQuantized(work, certainKeys, firstHalf, 1);
  attendQuantized(work, certainKeys + firstHalf, secondHalf, 2);
  const dimensions = rotatedDim(work.shape.headDim);
  const [, firstHalfState, secondHalfState] = region.workspace.quantizedStates;
  const halfAt = (state: number, row: number) => halfSampleOf(region, state, work.rows, dimensions, row);
  const halfSamples = work.queryNorms.map(
    (_, row) => [halfAt(firstHalfState, row), halfAt(secondHalfState, row)] as const,
  );
  mergeQuantizedStates(work, region);

  const outputs = rotatedOutputs(work, region);
  return halfSamples.map(([a, b], row) => {
    const total = logSumExp(readLogSumExp(region.views(), region.workspace.state + row * 8));
    return halfSampleDistance(a, b, outputs.subarray(row * dimensions, (row + 1) * dimensions), total);
  });
}

function selectEverything(work: GroupWork, bytesScanned: number): Selection {
  selectAllKeys(selectedPositions(work), work.n);
  return { count: work.n, bytesScanned };
}

interface SignScan {
  fractionBits: number;
  /** L1: ln sum_j e^s1_j of each row. */
  logSums: number[];
}

function scanSigns(work: GroupWork): SignScan {
  const fractionBits = workScanFractionBits(work);
  prepareQuantizedQueries(work);
  scanAllKeys(work, fractionBits);
  const logSums = Array.from({ length: work.rows }, (_, row) =>
    logSumExp(approximateLogSumExp(work, row, fractionBits)),
  );
  return { logSums, fractionBits };
}

/**
 * Draws the sample of a budget of `keys` and splits it into keys that are attended exactly and the others. `tailMass`
 * is the largest share, over the rows, of the others.
 */
function drawAndSplit(
  work: GroupWork,
  keys: number,
  minExactShare: number,
  { logSums, fractionBits }: SignScan,
): { selection: Selection; tailMass: number } {
  const { n, rows } = work;
  const primary = primaryRegion(work);
  const { kernels, views, workspace } = primary;
  const { signScores, scores, offsets, pooled, logProbabilities, threshold } = workspace;
  const stride = scoreStrideOf(work);

  views().f32.set(logSums, offsets / 4);
  kernels.maxOverHeads(signScores, scanStride(n), rows, n, fractionBits, offsets, PROPOSAL_EXPONENT, pooled, false);
  const drawnKeys = kernels.drawKeys({
    plan: planDraw(n, sampleSize(keys, n)),
    proposals: pooled,
    fractionBits,
    tables: workspace.drawTables,
    indices: workspace.indices,
    logProbabilities,
    threshold,
    keyBlocks: workspace.drawBlocks,
    scratch: workspace.scratch,
  });

  // The keys of the open page, all drawn, come last; their exact scores are at the end of the rows and stay there.
  const unquantizedKeys = n - firstUnquantizedKey(n);
  const quantizedKeys = drawnKeys - unquantizedKeys;
  scoreQuantizedKeys(work, quantizedKeys);
  const scanned = logSums.map((_, row) => {
    const scans = signScores + row * scanStride(n) * 2;
    return { scans, fractionBits, indices: workspace.indices, logProbabilities, count: quantizedKeys };
  });
  // Before the scores become weights.
  for (const [row, keys] of scanned.entries()) {
    kernels.fitScan(keys, scores + row * stride * 4, workspace.scanFits + row * 12);
  }
  const certainAbove = (views().f32[threshold / 4] as number) / PROPOSAL_EXPONENT;
  const caps = logSums.map((logSum) => Math.log(MAX_WEIGHT_RATIO) + certainAbove + logSum);
  views().f32.set(caps, workspace.logWeightCaps / 4);
  kernels.applyImportanceWeights(scores, stride, rows, quantizedKeys, {
    logProbabilities,
    caps: workspace.logWeightCaps,
  });

  const totalLogSums = logSums.map((_, row) => {
    const rowScores = scores + row * stride * 4;
    const quantizedSum = extendLogSumExp(primary, rowScores, quantizedKeys);
    return logSumExp(extendLogSumExp(primary, rowScores + firstUnquantizedKey(n) * 4, unquantizedKeys, quantizedSum));
  });
  views().f32.set(totalLogSums, offsets / 4);
  const logUndrawnSquares = scanned.map((keys, row) => {
    const logTotal = totalLogSums[row] as number;
    return Math.log(undrawnSquaresOf(primary, keys, workspace.scanFits + row * 12, logTotal)) + 2 * logTotal;
  });
  kernels.maxScoresOverHeads(scores, stride, rows, quantizedKeys, offsets, pooled);

  const { exactKeys, parts } = splitSample(work, quantizedKeys, planExactKeys(keys, n, minExactShare));
  const positions = selectedPositions(work);
  const probabilities = views().f32.subarray(logProbabilities / 4);
  for (let i = 0; i < unquantizedKeys; i++) {
    positions[exactKeys + i] = firstUnquantizedKey(n) + i;
    probabilities[exactKeys + i] = 0;
  }
  const selection = {
    count: exactKeys + unquantizedKeys,
    sample: { parts, logUndrawnSquares },
    bytesScanned: scanBytes(work) + quantizedKeys * quantizedRowBytes(work.shape.headDim),
  };
  return { selection, tailMass: maxQuantizedShare(work, parts, totalLogSums) };
}

/**
 * Splits the sample, whose largest shares over the rows are in `pooled` and whose log-weights are in `scores`: the
 * largest shares, the sinks and the recent keys go to the front of `indices`, the others to `quantizedIndices`.
 */
function splitSample(
  work: GroupWork,
  count: number,
  { maxKeys, minLogShare, sinks, recentFrom }: SieveStep['exact'],
): { exactKeys: number; parts: SieveSample['parts'] } {
  const { rows } = work;
  const { kernels, views, workspace } = primaryRegion(work);
  const { indices, logProbabilities, scores, quantizedIndices, quantizedScores, scratch } = workspace;
  const { pooled: shares, sampleParts: parts } = workspace;
  const { f32, i32 } = views();
  // Sinks and recent keys are at the ends of the list.
  const positionAt = (j: number) => i32[indices / 4 + j] as number;
  for (let j = 0; j < count && positionAt(j) < sinks; j++) f32[shares / 4 + j] = Number.MAX_VALUE;
  for (let j = count - 1; j >= 0 && positionAt(j) >= recentFrom; j--) f32[shares / 4 + j] = Number.MAX_VALUE;

  const selectedCount = Math.min(maxKeys, count);
  if (selectedCount > 0) kernels.selectLargest(shares, count, selectedCount, 0, quantizedIndices, scratch);
  const stride = scoreStrideOf(work);
  const exactKeys = kernels.splitSample(
    { indices, logProbabilities, scores, stride, rows, count },
    {
      shares,
      selected: quantizedIndices,
      selectedCount,
      minShare: minLogShare,
      quantizedIndices,
      quantizedScores,
      quantizedStride: stride,
      parts,
    },
  );
  const [certainKeys = 0, firstHalf = 0, secondHalf = 0] = i32.subarray(parts / 4, parts / 4 + 3);
  return { exactKeys, parts: [certainKeys, firstHalf, secondHalf] };
}

/** The largest share, over the rows, of the keys that are not attended exactly. */
function maxQuantizedShare(work: GroupWork, [a, b, c]: SieveSample['parts'], totalLogSums: readonly number[]): number {
  const primary = primaryRegion(work);
  const { quantizedScores } = primary.workspace;
  const stride = scoreStrideOf(work);
  const shares = totalLogSums.map((total, row) =>
    Math.exp(logSumExp(extendLogSumExp(primary, quantizedScores + row * stride * 4, a + b + c)) - total),
  );
  return Math.max(...shares);
}

/** ln of the sum of the squared weights of `count` quantized keys from number `first` on. */
function logSumOfSquares(work: GroupWork, first: number, count: number, row: number): number {
  const primary = primaryRegion(work);
  const { scores, quantizedScores } = primary.workspace;
  const { f32 } = primary.views();
  const from = quantizedScores / 4 + row * scoreStrideOf(work) + first;
  for (let j = 0; j < count; j++) f32[scores / 4 + j] = 2 * (f32[from + j] as number);
  return logSumExp(extendLogSumExp(primary, scores, count));
}

/** The outputs of all rows, rotated: (rows, D). */
function rotatedOutputs({ rows, shape }: GroupWork, region: ThreadRegion): Float32Array {
  const { kernels, workspace, views } = region;
  const dimensions = rotatedDim(shape.headDim);
  normalizedOutputs(region, rows, shape.headDim);
  // The state of the certain keys has been merged already; those of the halves are still compared.
  const [spareState] = workspace.quantizedStates;
  kernels.rotate(workspace.outputs, rows, shape.headDim, spareState, workspace.scratch);
  return views().f32.subarray(spareState / 4, spareState / 4 + rows * dimensions);
}
