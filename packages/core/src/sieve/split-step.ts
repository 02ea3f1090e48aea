/**
 * One position of a group in parts, for several threads. Part p of P has the pages p, p + P, p + 2 P, ...: neighbouring
 * pages have similar keys, so every part has about the same softmax mass, and a P-th of the sample is right for it. A
 * part draws from its own keys as a step draws from all, which estimates the sum over these keys without bias; so the
 * states of the parts are merged, those of the half-samples too.
 *
 * To the kernels, the pages of a part are a cache of their own, with a page table that lists them alone; positions of
 * sinks and recent keys are counted in it. docs/decisions/14-split-decode.md says why steps are split at all.
 */
import type { Budget } from '../budgets/budget.ts';
import { type GroupWork, logAddExp, primaryRegion } from '../group/group-work.ts';
import { keysBefore, listPartPages, type Part } from '../group/parts.ts';
import { SIEVE_RESULT_COUNTS, SIEVE_ROW_RESULTS } from '../kernels/constants.ts';
import { type Kernels, stateBytes } from '../kernels/kernels.ts';
import { rotatedDim } from '../kernels/layout.ts';
import type { SieveStep } from '../kernels/quantized-kernels.ts';
import type { Views } from '../kernels/views.ts';
import { PART_SEED_STRIDE } from './constants.ts';
import { planSieveStep } from './plan.ts';
import { finishSieveStep, type SieveStepBuffers, type SieveStepResult } from './step.ts';

/** Bytes of one part's states, for `rows` rows of d numbers. */
export const partBytes = (rows: number, headDim: number): number => partBuffersAt(0, rows, headDim).end;

/** Layout of one part's states from an address on, followed by the buffers in which all of them are merged. */
function partBuffersAt(address: number, rows: number, headDim: number): SieveStepBuffers & { end: number } {
  const dimensions = rotatedDim(headDim);
  const [exactBytes, quantizedBytes] = [stateBytes(rows, headDim), stateBytes(rows, dimensions)];
  const results = address;
  const state = results + Math.ceil((SIEVE_RESULT_COUNTS + SIEVE_ROW_RESULTS * rows) / 4) * 16;
  const certainState = state + exactBytes;
  const firstHalfState = certainState + quantizedBytes;
  const secondHalfState = firstHalfState + quantizedBytes;
  const outputs = secondHalfState + quantizedBytes;
  const scratch = outputs + rows * dimensions * 4;
  const end = scratch + 2 * dimensions * 4;
  return { results, state, certainState, firstHalfState, secondHalfState, outputs, scratch, end };
}

/** Attends with one part of a step, and copies its states to `address` in the memory of `views`. */
export function attendSievePart(
  work: GroupWork,
  budget: Budget,
  part: Part,
  views: () => Views,
  address: number,
): void {
  const primary = primaryRegion(work);
  const { workspace } = primary;
  const [segment] = work.segments;
  const step = planSieveStep(work, budget);
  if (step === undefined || segment === undefined) throw new Error('This step cannot be split.');
  const workspaceViews = primary.views();
  const partPages = listPartPages(work, segment, part);
  primary.kernels.sieve(partPages, stepForPart(step, part), workspace.sieveBuffers);

  const { rows, shape } = work;
  const [certainState, oneState, otherState] = workspace.quantizedStates;
  const destination = partBuffersAt(address, rows, shape.headDim);
  const copy = (source: number, target: number, bytes: number) =>
    views().f32.set(workspaceViews.f32.subarray(source / 4, (source + bytes) / 4), target / 4);
  copy(workspace.results, destination.results, (SIEVE_RESULT_COUNTS + SIEVE_ROW_RESULTS * rows) * 4);
  copy(workspace.state, destination.state, destination.certainState - destination.state);
  copy(certainState, destination.certainState, destination.firstHalfState - destination.certainState);
  copy(oneState, destination.firstHalfState, destination.secondHalfState - destination.firstHalfState);
  copy(otherState, destination.secondHalfState, destination.outputs - destination.secondHalfState);
}

/** One part of a step over all keys. */
export function stepForPart({ n, plan, exact, ...step }: SieveStep, part: Part): SieveStep {
  const { parts } = part;
  const ownPosition = (position: number) => keysBefore(position, part);
  const [keys, sinks, recentFrom] = [ownPosition(n), ownPosition(plan.sinks), ownPosition(plan.recentFrom)];
  const drawnKeys = plan.maxKeys - plan.sinks - (n - plan.recentFrom);
  return {
    ...step,
    n: keys,
    plan: {
      n: keys,
      sinks,
      recentFrom,
      maxKeys: sinks + keys - recentFrom + Math.ceil(drawnKeys / parts),
      seed: plan.seed + part.part * PART_SEED_STRIDE,
    },
    exact: {
      maxKeys: Math.ceil(exact.maxKeys / parts),
      // Shares of a part's sum are larger.
      minLogShare: exact.minLogShare + Math.log(parts),
      sinks: ownPosition(exact.sinks),
      recentFrom: ownPosition(exact.recentFrom),
    },
  };
}

/** Merges the states of all parts of a step, which lie one behind the other from `address` on, into its result. */
export function mergeSieveParts(
  work: GroupWork,
  parts: number,
  kernels: Kernels,
  views: () => Views,
  address: number,
): SieveStepResult {
  const { rows, shape } = work;
  const { headDim } = shape;
  const dimensions = rotatedDim(headDim);
  const sum = partBuffersAt(address, rows, headDim);
  for (let part = 1; part < parts; part++) {
    const other = partBuffersAt(address + part * partBytes(rows, headDim), rows, headDim);
    kernels.mergeState(sum.state, other.state, rows, headDim);
    for (const state of ['certainState', 'firstHalfState', 'secondHalfState'] as const) {
      kernels.mergeState(sum[state], other[state], rows, dimensions);
    }
    addSieveResults(views(), sum.results / 4, other.results / 4, rows);
  }
  return finishSieveStep(work, kernels, views, sum);
}

/** Adds the counts, and the sums over keys, which are stored as logarithms. */
function addSieveResults({ f32, i32 }: Views, sum: number, other: number, rows: number): void {
  for (let i = 0; i < SIEVE_RESULT_COUNTS; i++) i32[sum + i] = (i32[sum + i] as number) + (i32[other + i] as number);
  for (let row = 0; row < rows; row++) {
    for (let i = 4; i < SIEVE_ROW_RESULTS - 1; i++) {
      const at = SIEVE_RESULT_COUNTS + row * SIEVE_ROW_RESULTS + i;
      f32[sum + at] = logAddExp(f32[sum + at] as number, f32[other + at] as number);
    }
  }
}
