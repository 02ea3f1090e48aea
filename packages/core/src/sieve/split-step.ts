/**
 * A step of the sieve in parts, which several threads can take. Part p of P has the pages p, p + P, p + 2 P, ...: keys of
 * neighbouring pages are alike, so every part has about as much of the softmax, and a P-th of the sample is right for it.
 * A part draws its sample from its own keys as a step draws from all, and a sum over it estimates the sum over these keys
 * without bias; so what the parts come to is added up, the halves that tell the error as well.
 *
 * To the kernels the pages of a part are a cache of their own: its table of pages has them alone. Positions of the first
 * and the last keys are counted in it.
 */
import type { Budget } from '../budgets/budget.ts';
import { type GroupWork, primaryRegion } from '../group/group-work.ts';
import { type Kernels, stateBytes } from '../kernels/kernels.ts';
import { PAGE_KEYS, pagesFor, rotatedDim } from '../kernels/layout.ts';
import { SIEVE_RESULT_COUNTS, SIEVE_ROW_RESULTS, type SieveStep } from '../kernels/quantized-kernels.ts';
import type { Views } from '../kernels/views.ts';
import { planSieveStep } from './selector.ts';
import { finishSieveStep, type SieveStepBuffers, type SieveStepResult } from './step.ts';

/** Number `part` of `parts`. */
export interface Part {
  part: number;
  parts: number;
}

/** From one part to the next the turns of the draw move on by so many: what is not drawn in one says nothing of another. */
const PART_DRAW_STRIDE = 4099;

/** Keys of a part before a position. */
export function keysBefore(position: number, { part, parts }: Part): number {
  const page = Math.floor(position / PAGE_KEYS);
  const wholePages = Math.max(0, Math.ceil((page - part) / parts));
  return wholePages * PAGE_KEYS + (page % parts === part ? position % PAGE_KEYS : 0);
}

/** Bytes of what a part comes to, for `rows` rows of d numbers. */
export const partBytes = (rows: number, headDim: number): number => partBuffersAt(0, rows, headDim).end;

/** What a part comes to, from an address on, and behind it what all of them are put together in. */
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

/** Takes one part of a step, and copies what it comes to into the memory of `views`, from `address` on. */
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
  if (step === undefined || segment === undefined) throw new Error('This step has no parts.');
  const workspaceViews = primary.views();
  const table = workspace.partPageTable / 4;
  let pages = 0;
  for (let page = part.part; page < pagesFor(work.n); page += part.parts) {
    workspaceViews.u32[table + pages++] = workspaceViews.u32[segment.pages.table / 4 + page] as number;
  }
  const partPages = { ...segment.pages, table: workspace.partPageTable, exactTable: workspace.partPageTable };
  primary.kernels.sieve?.(partPages, stepForPart(step, part), workspace.sieveBuffers);

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

/** A part of a step over all keys. */
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
      seed: plan.seed + part.part * PART_DRAW_STRIDE,
    },
    exact: {
      maxKeys: Math.ceil(exact.maxKeys / parts),
      // Shares are those of the part.
      minLogShare: exact.minLogShare + Math.log(parts),
      sinks: ownPosition(exact.sinks),
      recentFrom: ownPosition(exact.recentFrom),
    },
  };
}

/** Adds up what the parts of a step have come to, which lie one behind the other from `address` on. */
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

/** Adds counts, and sums of squares, of which there are the logarithms. */
function addSieveResults({ f32, i32 }: Views, sum: number, other: number, rows: number): void {
  for (let i = 0; i < SIEVE_RESULT_COUNTS; i++) i32[sum + i] = (i32[sum + i] as number) + (i32[other + i] as number);
  for (let row = 0; row < rows; row++) {
    const at = SIEVE_RESULT_COUNTS + row * SIEVE_ROW_RESULTS + SIEVE_ROW_RESULTS - 1;
    const [a, b] = [f32[sum + at] as number, f32[other + at] as number];
    const max = Math.max(a, b);
    f32[sum + at] = max + (max === Number.NEGATIVE_INFINITY ? 0 : Math.log1p(Math.exp(Math.min(a, b) - max)));
  }
}
