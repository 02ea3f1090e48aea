/**
 * One query row and the keys that it may see, as one thread works on them: where the keys lie, and the steps that every
 * policy is made of. The keys may lie in several regions; a step visits them in order, and the softmax state moves on
 * with it.
 */
import { type Kernels, type Pages, type QueryRows, stateBytes } from '../kernels/kernels.ts';
import type { Views } from '../kernels/views.ts';
import type { CacheShape } from './shape.ts';
import type { Workspace } from './workspace.ts';

/** A region as one thread sees it. */
export interface ThreadRegion {
  readonly memory: WebAssembly.Memory;
  readonly views: () => Views;
  readonly kernels: Kernels;
  /** Address of the page table. */
  readonly table: number;
  readonly workspace: Workspace;
}

/** Keys at positions [from, to) of one key-value head, in one region. */
export interface HeadSegment {
  region: ThreadRegion;
  pages: Pages;
  from: number;
  to: number;
}

export interface HeadQuery {
  readonly shape: CacheShape;
  readonly layer: number;
  /** Query head in the layer. */
  readonly head: number;
  /** Keys that the query may see: positions [0, n). */
  readonly n: number;
  readonly segments: readonly HeadSegment[];
  /** Norm of the query, scaled by 1 / sqrt(d). */
  readonly norm: number;
  /** Bounds on the norms of the keys and values of the head. */
  readonly keyNorm: number;
  readonly valueNorm: number;
}

/** Sum of e^(score - largest) over some keys. */
export interface SoftmaxSum {
  largest: number;
  sum: number;
}

/** The region where positions, scores and results are gathered. */
export const homeOf = ({ segments }: Pick<HeadQuery, 'segments'>): ThreadRegion => (segments[0] as HeadSegment).region;

/**
 * Copies query rows (rows, d) into the workspaces of all regions, scaled by 1 / sqrt(d). Returns the norm of the last
 * row.
 */
export function placeQueries(
  regions: readonly ThreadRegion[],
  rows: Float32Array,
  headDim: number,
  firstRow: number,
): number {
  const scale = 1 / Math.sqrt(headDim);
  const [home, ...others] = regions as [ThreadRegion, ...ThreadRegion[]];
  const target = home.views().f32;
  const start = home.workspace.queries / 4 + firstRow * headDim;
  let squared = 0;
  for (let i = 0; i < rows.length; i++) {
    const x = (rows[i] as number) * scale;
    target[start + i] = x;
    squared += x * x;
  }
  for (const { views, workspace } of others) {
    const placed = target.subarray(start, start + rows.length);
    views().f32.set(placed, workspace.queries / 4 + firstRow * headDim);
  }
  return Math.sqrt(squared);
}

/** Walks through the segments with a softmax state of `rows` rows, and leaves it in the last one's region. */
export function carryState(
  segments: readonly HeadSegment[],
  rows: number,
  headDim: number,
  visit: (segment: HeadSegment) => void,
): ThreadRegion {
  let previous: ThreadRegion | undefined;
  for (const segment of segments) {
    const { region } = segment;
    if (previous === undefined) region.kernels.startState(region.workspace.state, rows, headDim);
    else if (previous !== region) copyState(previous, region, rows, headDim);
    visit(segment);
    previous = region;
  }
  return previous as ThreadRegion;
}

function copyState(from: ThreadRegion, to: ThreadRegion, rows: number, headDim: number): void {
  const size = stateBytes(rows, headDim) / 4;
  const source = from.workspace.state / 4;
  to.views().f32.set(from.views().f32.subarray(source, source + size), to.workspace.state / 4);
}

/** Attends to all keys. Returns the region where the state lies. */
export function attendAll(
  segments: readonly HeadSegment[],
  queries: Omit<QueryRows, 'address'>,
  headDim: number,
): ThreadRegion {
  return carryState(segments, queries.rows, headDim, ({ region, pages, from, to }) => {
    const { state, scratch, queries: address } = region.workspace;
    region.kernels.attendDense(pages, from, to, { ...queries, address }, state, scratch);
  });
}

/** Exact scores of all keys (n), in the home region's workspace. */
export function scoreAll(query: HeadQuery): Float32Array {
  const home = homeOf(query);
  for (const { region, pages, from, to } of query.segments) {
    const { queries, scores, scratch } = region.workspace;
    const target = scores + (region === home ? from * 4 : 0);
    region.kernels.scoreKeys(pages, from, to, queries, 1, target, to - from, scratch);
    if (region !== home) {
      const computed = region.views().f32.subarray(scores / 4, scores / 4 + to - from);
      home.views().f32.set(computed, home.workspace.scores / 4 + from);
    }
  }
  const { scores } = home.workspace;
  return home.views().f32.subarray(scores / 4, scores / 4 + query.n);
}

/** Sum over the scores of all keys, once `scoreAll` has put them there. */
export function sumOfScores(query: HeadQuery): SoftmaxSum {
  const { kernels, workspace, views } = homeOf(query);
  const at = workspace.statistics / 4;
  views().f32.set([Number.NEGATIVE_INFINITY, 0], at);
  kernels.absorbMass(workspace.scores, query.n, workspace.statistics);
  return readSum(views(), workspace.statistics);
}

export const readSum = ({ f32 }: Views, address: number): SoftmaxSum => ({
  largest: f32[address / 4] as number,
  sum: f32[address / 4 + 1] as number,
});

/** Where a selector writes the positions that it chose, ascending: int32 (capacity) in the home region. */
export function positionsBuffer(query: HeadQuery): Int32Array {
  const { views, workspace } = homeOf(query);
  return views().i32.subarray(workspace.indices / 4, workspace.indices / 4 + query.n);
}

/**
 * Attends to the first `count` positions of the positions buffer, which ascend. Returns the region where the state of
 * one row lies.
 */
export function attendPositions(query: HeadQuery, count: number): ThreadRegion {
  const home = homeOf(query);
  const positions = positionsBuffer(query).subarray(0, count);
  let done = 0;
  return carryState(query.segments, 1, query.shape.headDim, ({ region, pages, to }) => {
    const end = to >= query.n ? count : lowerBound(positions, to);
    const { indices, queries, state, scratch } = region.workspace;
    let address = indices + done * 4;
    if (region !== home) {
      region.views().i32.set(positions.subarray(done, end), indices / 4);
      address = indices;
    }
    if (end > done) region.kernels.attendSelected(pages, address, end - done, queries, state, scratch);
    done = end;
  });
}

/** Index of the first element that is at least `value`, in an ascending list. */
function lowerBound(list: Int32Array, value: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((list[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
