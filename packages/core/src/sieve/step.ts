/** One position of a group in one kernel call, and a second one that turns its states into outputs and errors. */
import type { Budget } from '../budgets/budget.ts';
import { type ErrorEstimate, normOf } from '../group/estimates.ts';
import { type GroupWork, logSumExp, primaryRegion, type RunningLogSumExp } from '../group/group-work.ts';
import { firstUnquantizedKey, int4ScoreErrors } from '../group/quantized-work.ts';
import { addSinks } from '../group/sinks.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { quantizedRowBytes } from '../kernels/layout.ts';
import { rowResultsAt, type SieveStates } from '../kernels/quantized-kernels.ts';
import type { Views } from '../kernels/views.ts';
import { estimateError, readSampleFindings } from './error-estimate.ts';
import { planSieveStep, scanBytes } from './plan.ts';

export interface SieveStepResult {
  /** Keys attended exactly. */
  keysExact: number;
  /** Keys attended by 4-bit keys and values. */
  keysQuantized: number;
  /** Bytes read beside exact rows. */
  bytesQuantized: number;
  /** Running log-sum-exp of each row over the keys that were attended exactly. */
  selectedSums: RunningLogSumExp[];
  /** Running log-sum-exp of each row, estimated over all keys. */
  totalSums: RunningLogSumExp[];
  /** Estimated error of each row. */
  errors: ErrorEstimate[];
  /** (rows, d) */
  outputs: Float32Array;
}

/**
 * Attends with the rows of a group. Undefined where one kernel call cannot do it, and `step-by-step.ts` must: for keys
 * in several regions, caches that keep int8 alone, budgets of tail mass, and budgets that cover all keys.
 */
export function attendSieve(work: GroupWork, budget: Budget): SieveStepResult | undefined {
  const { kernels, views, workspace } = primaryRegion(work);
  const [segment, ...others] = work.segments;
  if (segment === undefined || others.length > 0 || work.shape.precision === 'int8') return undefined;
  const scoreErrors = int4ScoreErrors(work);
  const step = planSieveStep(work, budget, scoreErrors);
  if (step === undefined) return undefined;
  kernels.sieve(segment.pages, step, workspace.sieveBuffers);
  const { state, results, outputs, scratch } = workspace;
  const [certainState, firstHalfState, secondHalfState] = workspace.quantizedStates;
  const sums = { state, certainState, firstHalfState, secondHalfState, results };
  return finishSieveStep(work, kernels, views, { ...sums, outputs, scratch }, scoreErrors);
}

/** The states of a step, and the buffers in which they are merged. */
export interface SieveStepBuffers extends SieveStates {
  /** (rows, d), with room for (rows, D). */
  outputs: number;
  /** Room for (2, D) numbers. */
  scratch: number;
}

/** Merges the states of a step, which lie in the memory of `kernels`, into outputs and errors. */
export function finishSieveStep(
  work: GroupWork,
  kernels: Kernels,
  views: () => Views,
  { outputs, scratch, ...sums }: SieveStepBuffers,
  scoreErrors = int4ScoreErrors(work),
): SieveStepResult {
  const { rows, n, shape, rmsValueNorm, sinks } = work;
  addSinks(views(), sums.state, rows, shape.headDim, sinks);
  kernels.finishSieve(shape.headDim, rows, sums, outputs, scratch);
  const memory = views();
  const { f32, i32 } = memory;
  const first = sums.results / 4;
  const keysExact = i32[first] as number;
  const keysQuantized = (i32[first + 1] as number) + (i32[first + 2] as number) + (i32[first + 3] as number);
  const result: SieveStepResult = {
    keysExact,
    keysQuantized,
    // Every sampled key costs its 4-bit key; the approximated ones also their 4-bit value.
    bytesQuantized:
      scanBytes(work) +
      (keysExact - (n - firstUnquantizedKey(n)) + 2 * keysQuantized) * quantizedRowBytes(shape.headDim),
    selectedSums: [],
    totalSums: [],
    errors: [],
    outputs: f32.slice(outputs / 4, outputs / 4 + rows * shape.headDim),
  };
  for (let row = 0; row < rows; row++) {
    const at = rowResultsAt(sums.results, row);
    const selectedSum = { max: f32[at] as number, sum: f32[at + 1] as number };
    const totalSum = { max: f32[at + 2] as number, sum: f32[at + 3] as number };
    result.selectedSums.push(selectedSum);
    result.totalSums.push(totalSum);
    const sampled = {
      selected: logSumExp(selectedSum),
      total: logSumExp(totalSum),
      outputNorm: normOf(result.outputs.subarray(row * shape.headDim, (row + 1) * shape.headDim)),
      scoreError: scoreErrors[row] as number,
    };
    result.errors.push(estimateError(readSampleFindings(memory, sums.results, row), sampled, rmsValueNorm));
  }
  return result;
}
