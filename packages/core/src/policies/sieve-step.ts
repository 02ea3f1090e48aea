/**
 * A step of the policy `sieve` in one call of the kernels: what its selector and its tail do by parts, see
 * `selectors/sieve.ts` and `tails/sampled.ts`.
 */
import type { Budget } from '../budgets/budget.ts';
import { openFrom } from '../cache/code-query.ts';
import { type HeadQuery, homeOf, type SoftmaxSum } from '../cache/head-query.ts';
import { SIEVE_COUNTS, SIEVE_ROW, type SieveSums } from '../kernels/code-kernels.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { codedBytes } from '../kernels/layout.ts';
import type { Views } from '../kernels/views.ts';
import { scanBytes, sieveStep } from '../selectors/sieve.ts';
import { ROUNDING } from '../tails/sampled.ts';

/** What came of a step. */
export interface Attended {
  /** Keys that were attended exactly, and by their codes. */
  keysRead: number;
  keysCoded: number;
  /** Bytes that were read beside exact rows. */
  bytesCoded: number;
  /** Of each row: the sum over the keys that were attended exactly, that over all, and the estimated error. */
  heads: SoftmaxSum[];
  totals: SoftmaxSum[];
  errors: number[];
  /** (rows, d) */
  outputs: Float32Array;
}

/**
 * Attends with the rows of a query. Undefined where it must be done by parts: for keys that lie in several regions or
 * are kept by codes alone, for budgets of tail mass, where all keys are attended, and with kernels that have no such step.
 */
export function attendSieve(query: HeadQuery, budget: Budget): Attended | undefined {
  const { kernels, views, workspace } = homeOf(query);
  const [segment, ...others] = query.segments;
  if (kernels.sieve === undefined || segment === undefined || others.length > 0) return undefined;
  if (query.shape.precision === 'int8') return undefined;
  const step = sieveStep(query, budget);
  if (step === undefined) return undefined;
  kernels.sieve(segment.pages, step, workspace.sieveBuffers);
  const { state, results, outputs, scratch } = workspace;
  const [certainState, oneState, otherState] = workspace.codedStates;
  const sums = { state, certainState, oneState, otherState, results };
  return finishAttended(query, kernels, views, { ...sums, outputs, scratch });
}

/** Where the sums of a step lie, and what they are put together in. */
export interface StepBuffers extends SieveSums {
  /** (rows, d), with room for (rows, D). */
  outputs: number;
  /** Room for (2, D) numbers. */
  scratch: number;
}

/** Puts the sums of a step together, in the memory of `kernels`. */
export function finishAttended(
  query: HeadQuery,
  kernels: Kernels,
  views: () => Views,
  { outputs, scratch, ...sums }: StepBuffers,
): Attended {
  const { rows, n, shape, typicalValueNorm } = query;
  kernels.finishSieve?.(shape.headDim, rows, sums, ROUNDING * typicalValueNorm, outputs, scratch);
  const { f32, i32 } = views();
  const first = sums.results / 4;
  const keysRead = i32[first] as number;
  const keysCoded = (i32[first + 1] as number) + (i32[first + 2] as number) + (i32[first + 3] as number);
  const attended: Attended = {
    keysRead,
    keysCoded,
    // Of every key of the sample the codes of the key, and of those that are attended by them the value's.
    bytesCoded: scanBytes(query) + (keysRead - (n - openFrom(n)) + 2 * keysCoded) * codedBytes(shape.headDim),
    heads: [],
    totals: [],
    errors: [],
    outputs: f32.slice(outputs / 4, outputs / 4 + rows * shape.headDim),
  };
  for (let row = 0; row < rows; row++) {
    const at = first + SIEVE_COUNTS + row * SIEVE_ROW;
    attended.heads.push({ largest: f32[at] as number, sum: f32[at + 1] as number });
    attended.totals.push({ largest: f32[at + 2] as number, sum: f32[at + 3] as number });
    attended.errors.push(f32[at + 4] as number);
  }
  return attended;
}
