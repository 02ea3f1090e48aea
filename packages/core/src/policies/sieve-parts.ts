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
import { type HeadQuery, homeOf } from '../cache/head-query.ts';
import { SIEVE_COUNTS, SIEVE_ROW, type SieveStep } from '../kernels/code-kernels.ts';
import { type Kernels, stateBytes } from '../kernels/kernels.ts';
import { codeDim, PAGE_KEYS, pagesFor } from '../kernels/layout.ts';
import type { Views } from '../kernels/views.ts';
import { sieveStep } from '../selectors/sieve.ts';
import { type Attended, finishAttended, type StepBuffers } from './sieve-step.ts';

/** Number `part` of `parts`. */
export interface Part {
  part: number;
  parts: number;
}

/** From one part to the next the turns of the draw move on by so many: what is not drawn in one says nothing of another. */
const PART_TURNS = 4099;

/** Keys of a part before a position. */
export function keysBefore(position: number, { part, parts }: Part): number {
  const page = Math.floor(position / PAGE_KEYS);
  const whole = Math.max(0, Math.ceil((page - part) / parts));
  return whole * PAGE_KEYS + (page % parts === part ? position % PAGE_KEYS : 0);
}

/** Bytes of what a part comes to, for `rows` rows of d numbers. */
export const partBytes = (rows: number, headDim: number): number => buffersAt(0, rows, headDim).end;

/** What a part comes to, from an address on, and behind it what all of them are put together in. */
function buffersAt(address: number, rows: number, headDim: number): StepBuffers & { end: number } {
  const dimensions = codeDim(headDim);
  const [exact, coded] = [stateBytes(rows, headDim), stateBytes(rows, dimensions)];
  const results = address;
  const state = results + Math.ceil((SIEVE_COUNTS + SIEVE_ROW * rows) / 4) * 16;
  const certainState = state + exact;
  const oneState = certainState + coded;
  const otherState = oneState + coded;
  const outputs = otherState + coded;
  const scratch = outputs + rows * dimensions * 4;
  const end = scratch + 2 * dimensions * 4;
  return { results, state, certainState, oneState, otherState, outputs, scratch, end };
}

/** Takes one part of a step, and copies what it comes to into the memory of `views`, from `address` on. */
export function attendSievePart(
  query: HeadQuery,
  budget: Budget,
  part: Part,
  views: () => Views,
  address: number,
): void {
  const home = homeOf(query);
  const { workspace } = home;
  const [segment] = query.segments;
  const step = sieveStep(query, budget);
  if (step === undefined || segment === undefined) throw new Error('This step has no parts.');
  const own = home.views();
  const table = workspace.partTable / 4;
  let pages = 0;
  for (let page = part.part; page < pagesFor(query.n); page += part.parts) {
    own.u32[table + pages++] = own.u32[segment.pages.table / 4 + page] as number;
  }
  const ofPart = { ...segment.pages, table: workspace.partTable, exactTable: workspace.partTable };
  home.kernels.sieve?.(ofPart, stepOfPart(step, part), workspace.sieveBuffers);

  const { rows, shape } = query;
  const [certainState, oneState, otherState] = workspace.codedStates;
  const to = buffersAt(address, rows, shape.headDim);
  const copy = (source: number, target: number, bytes: number) =>
    views().f32.set(own.f32.subarray(source / 4, (source + bytes) / 4), target / 4);
  copy(workspace.results, to.results, (SIEVE_COUNTS + SIEVE_ROW * rows) * 4);
  copy(workspace.state, to.state, to.certainState - to.state);
  copy(certainState, to.certainState, to.oneState - to.certainState);
  copy(oneState, to.oneState, to.otherState - to.oneState);
  copy(otherState, to.otherState, to.outputs - to.otherState);
}

/** A part of a step over all keys. */
export function stepOfPart({ n, plan, exact, ...step }: SieveStep, part: Part): SieveStep {
  const { parts } = part;
  const own = (position: number) => keysBefore(position, part);
  const [keys, sinks, keptFrom] = [own(n), own(plan.sinks), own(plan.keptFrom)];
  const drawn = plan.most - plan.sinks - (n - plan.keptFrom);
  return {
    ...step,
    n: keys,
    plan: {
      ...{ n: keys, sinks, keptFrom },
      most: sinks + keys - keptFrom + Math.ceil(drawn / parts),
      turn: plan.turn + part.part * PART_TURNS,
    },
    exact: {
      most: Math.ceil(exact.most / parts),
      // Shares are those of the part.
      leastLog: exact.leastLog + Math.log(parts),
      ...{ sinks: own(exact.sinks), recentFrom: own(exact.recentFrom) },
    },
  };
}

/** Adds up what the parts of a step have come to, which lie one behind the other from `address` on. */
export function mergeSieveParts(
  query: HeadQuery,
  parts: number,
  kernels: Kernels,
  views: () => Views,
  address: number,
): Attended {
  const { rows, shape } = query;
  const { headDim } = shape;
  const dimensions = codeDim(headDim);
  const sum = buffersAt(address, rows, headDim);
  for (let part = 1; part < parts; part++) {
    const other = buffersAt(address + part * partBytes(rows, headDim), rows, headDim);
    kernels.mergeState(sum.state, other.state, rows, headDim);
    for (const state of ['certainState', 'oneState', 'otherState'] as const) {
      kernels.mergeState(sum[state], other[state], rows, dimensions);
    }
    addResults(views(), sum.results / 4, other.results / 4, rows);
  }
  return finishAttended(query, kernels, views, sum);
}

/** Adds counts, and sums of squares, of which there are the logarithms. */
function addResults({ f32, i32 }: Views, sum: number, other: number, rows: number): void {
  for (let i = 0; i < SIEVE_COUNTS; i++) i32[sum + i] = (i32[sum + i] as number) + (i32[other + i] as number);
  for (let row = 0; row < rows; row++) {
    const at = SIEVE_COUNTS + row * SIEVE_ROW + SIEVE_ROW - 1;
    const [a, b] = [f32[sum + at] as number, f32[other + at] as number];
    const largest = Math.max(a, b);
    f32[sum + at] =
      largest + (largest === Number.NEGATIVE_INFINITY ? 0 : Math.log1p(Math.exp(Math.min(a, b) - largest)));
  }
}
