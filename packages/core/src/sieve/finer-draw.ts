/**
 * The second draw of a group in doubt. Signs tell too little of its keys, so all keys are scored by 4 bits, and a sample is
 * drawn by those scores. Rounding moves these, too, so none of the sample is attended by them: all of it is exact. That is what
 * full attention would be for a fraction of its bytes, where 4 bits tell keys apart at all.
 */
import type { Budget } from '../budgets/budget.ts';
import { type GroupWork, logSumExp, primaryRegion, scoreStrideOf } from '../group/group-work.ts';
import {
  approximateLogSumExp,
  firstUnquantizedKey,
  prepareQuantizedQueries,
  scanAllKeys,
  scoreQuantizedKeys,
  scoreRounding,
  workScanFractionBits,
} from '../group/quantized-work.ts';
import { quantizedRowBytes } from '../kernels/layout.ts';
import { scanStride } from '../kernels/quantized-kernels.ts';
import { groupBudget, type Selection } from '../selectors/selector.ts';
import {
  FINER_KEYS_PER_BUDGET_KEY,
  MAX_FINER_FRACTION,
  MAX_FINER_ROUNDING,
  MAX_WEIGHT_RATIO,
  PROPOSAL_EXPONENT,
} from './constants.ts';
import { planDraw, scanBytes } from './plan.ts';
import { undrawnSquaresOf } from './undrawn.ts';

/** Undefined where 4 bits tell too little as well, or the sample would be most of the keys: all keys are to be read then. */
export function selectByFinerDraw(work: GroupWork, budget: Budget): Selection | undefined {
  const { n, rows } = work;
  const maxKeys = FINER_KEYS_PER_BUDGET_KEY * groupBudget(work, budget);
  const rounding = scoreRounding(work);
  if (rounding > MAX_FINER_ROUNDING || maxKeys > MAX_FINER_FRACTION * n) return undefined;

  const fractionBits = workScanFractionBits(work);
  prepareQuantizedQueries(work);
  scanAllKeys(work, fractionBits);
  scanByInt4(work, fractionBits);
  const logSums = Array.from({ length: rows }, (_, row) => logSumExp(approximateLogSumExp(work, row, fractionBits)));

  const { kernels, views, workspace } = primaryRegion(work);
  const { signScores, offsets, pooled, indices, logProbabilities, threshold, scanFits } = workspace;
  views().f32.set(logSums, offsets / 4);
  kernels.maxOverHeads(signScores, scanStride(n), rows, n, fractionBits, offsets, PROPOSAL_EXPONENT, pooled, false);
  const count = kernels.drawKeys({
    plan: planDraw(n, maxKeys),
    proposals: pooled,
    fractionBits,
    tables: workspace.drawTables,
    indices,
    logProbabilities,
    threshold,
    keyBlocks: workspace.drawBlocks,
    scratch: workspace.scratch,
  });
  const certainAbove = (views().f32[threshold / 4] as number) / PROPOSAL_EXPONENT;
  const caps = logSums.map((logSum) => Math.log(MAX_WEIGHT_RATIO) + certainAbove + logSum);
  views().f32.set(caps, workspace.logWeightCaps / 4);

  // The scan is off by the rounding of its scores.
  views().f32.set([0, 1, rounding], scanFits / 4);
  const logUndrawnSquares = logSums.map((logSum, row) => {
    const scans = signScores + row * scanStride(n) * 2;
    const drawn = { scans, fractionBits, indices, logProbabilities, count };
    return Math.log(undrawnSquaresOf(primaryRegion(work), drawn, scanFits, logSum)) + 2 * logSum;
  });
  const bytesScanned = scanBytes(work) + firstUnquantizedKey(n) * quantizedRowBytes(work.shape.headDim);
  return { count, sample: { parts: [0, 0, 0], logUndrawnSquares }, bytesScanned };
}

/** Puts the scores of all keys by 4 bits where a scan by signs has put its own, in its units. */
function scanByInt4(work: GroupWork, fractionBits: number): void {
  const { rows, n } = work;
  const { kernels, views, workspace } = primaryRegion(work);
  const end = firstUnquantizedKey(n);
  const all = views().i32.subarray(workspace.indices / 4, workspace.indices / 4 + end);
  for (let j = 0; j < end; j++) all[j] = j;
  scoreQuantizedKeys(work, end);
  const { scores, signScores } = workspace;
  kernels.scanScores(scores, scoreStrideOf(work), rows, end, fractionBits, signScores, scanStride(n));
}
