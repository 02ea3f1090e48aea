/**
 * A step of the policy `sieve` in one call of the kernels: what its selector and its tail do by parts, see
 * `selectors/sieve.ts` and `tails/sampled.ts`.
 */
import type { Budget } from '../budgets/budget.ts';
import { type GroupWork, primaryRegion, type RunningLogSumExp } from '../group/group-work.ts';
import { firstUnquantizedKey } from '../group/quantized-work.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { quantizedRowBytes } from '../kernels/layout.ts';
import { SIEVE_RESULT_COUNTS, SIEVE_ROW_RESULTS, type SieveStates } from '../kernels/quantized-kernels.ts';
import type { Views } from '../kernels/views.ts';
import { planSieveStep, scanBytes } from './selector.ts';
import { INT4_ROUNDING_ERROR } from './tail.ts';

/** What came of a step. */
export interface SieveStepResult {
  /** Keys that were attended exactly, and by their codes. */
  keysExact: number;
  keysQuantized: number;
  /** Bytes that were read beside exact rows. */
  bytesQuantized: number;
  /** Of each row: the sum over the keys that were attended exactly, that over all, and the estimated error. */
  selectedSums: RunningLogSumExp[];
  totalSums: RunningLogSumExp[];
  errors: number[];
  /** (rows, d) */
  outputs: Float32Array;
}

/**
 * Attends with the rows of a query. Undefined where it must be done by parts: for keys that lie in several regions or
 * are kept by codes alone, for budgets of tail mass, where all keys are attended, and with kernels that have no such step.
 */
export function attendSieve(work: GroupWork, budget: Budget): SieveStepResult | undefined {
  const { kernels, views, workspace } = primaryRegion(work);
  const [segment, ...others] = work.segments;
  if (kernels.sieve === undefined || segment === undefined || others.length > 0) return undefined;
  if (work.shape.precision === 'int8') return undefined;
  const step = planSieveStep(work, budget);
  if (step === undefined) return undefined;
  kernels.sieve(segment.pages, step, workspace.sieveBuffers);
  const { state, results, outputs, scratch } = workspace;
  const [certainState, firstHalfState, secondHalfState] = workspace.quantizedStates;
  const sums = { state, certainState, firstHalfState, secondHalfState, results };
  return finishSieveStep(work, kernels, views, { ...sums, outputs, scratch });
}

/** Where the sums of a step lie, and what they are put together in. */
export interface SieveStepBuffers extends SieveStates {
  /** (rows, d), with room for (rows, D). */
  outputs: number;
  /** Room for (2, D) numbers. */
  scratch: number;
}

/** Puts the sums of a step together, in the memory of `kernels`. */
export function finishSieveStep(
  work: GroupWork,
  kernels: Kernels,
  views: () => Views,
  { outputs, scratch, ...sums }: SieveStepBuffers,
): SieveStepResult {
  const { rows, n, shape, rmsValueNorm } = work;
  kernels.finishSieve?.(shape.headDim, rows, sums, INT4_ROUNDING_ERROR * rmsValueNorm, outputs, scratch);
  const { f32, i32 } = views();
  const first = sums.results / 4;
  const keysExact = i32[first] as number;
  const keysQuantized = (i32[first + 1] as number) + (i32[first + 2] as number) + (i32[first + 3] as number);
  const result: SieveStepResult = {
    keysExact,
    keysQuantized,
    // Of every key of the sample the codes of the key, and of those that are attended by them the value's.
    bytesQuantized:
      scanBytes(work) +
      (keysExact - (n - firstUnquantizedKey(n)) + 2 * keysQuantized) * quantizedRowBytes(shape.headDim),
    selectedSums: [],
    totalSums: [],
    errors: [],
    outputs: f32.slice(outputs / 4, outputs / 4 + rows * shape.headDim),
  };
  for (let row = 0; row < rows; row++) {
    const at = first + SIEVE_RESULT_COUNTS + row * SIEVE_ROW_RESULTS;
    result.selectedSums.push({ max: f32[at] as number, sum: f32[at + 1] as number });
    result.totalSums.push({ max: f32[at + 2] as number, sum: f32[at + 3] as number });
    result.errors.push(f32[at + 4] as number);
  }
  return result;
}
