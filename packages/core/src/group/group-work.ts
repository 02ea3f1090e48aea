/**
 * The query rows of one position that share a key-value head (a GQA group, or one of its heads), and the keys that they
 * may see, as one thread works on them: where the keys lie, and the exact steps that every policy is made of. The keys
 * may lie in several regions; a step visits them in order, and carries the softmax state from one to the next. Scores
 * and lists over all keys lie in the primary region, that of the first keys.
 */

import { type CacheShape, openPrecision } from '../cache/shape.ts';
import { type Kernels, type Pages, type QueryRows, stateBytes, stateOutputs } from '../kernels/kernels.ts';
import { rowBytes } from '../kernels/layout.ts';
import { scoreStride } from '../kernels/quantized-kernels.ts';
import type { Views } from '../kernels/views.ts';
import { addSinks } from './sinks.ts';
import type { Workspace } from './workspace.ts';

/** A region as one thread sees it. */
export interface ThreadRegion {
  readonly memory: WebAssembly.Memory;
  readonly views: () => Views;
  readonly kernels: Kernels;
  /** Address of the bases of the scan, 0 where heads have none. */
  readonly bases: number;
  readonly workspace: Workspace;
}

/** Keys at positions [from, to) of one key-value head, in one region, all stored in the same precision. */
export interface HeadSegment {
  region: ThreadRegion;
  pages: Pages;
  from: number;
  to: number;
  /** Keys in earlier segments of the same region. */
  earlierKeys: number;
}

export interface GroupWork {
  readonly shape: CacheShape;
  readonly layer: number;
  /** First query head. The workspace has the queries (rows, d) of `rows` heads from it on. */
  readonly head: number;
  readonly rows: number;
  /** Keys that the queries may see: positions [0, n). */
  readonly n: number;
  readonly segments: readonly HeadSegment[];
  /** Norms of the queries (rows), scaled by 1 / sqrt(d). */
  readonly queryNorms: readonly number[];
  /** Learned scores without a value (rows), where the layer has any: see `sinks.ts`. */
  readonly sinks?: readonly number[] | undefined;
  /** Bounds on the norms of the keys and values of the head. */
  readonly maxKeyNorm: number;
  readonly maxValueNorm: number;
  /** Root mean square of the norms of the head's values: for estimates. */
  readonly rmsValueNorm: number;
}

/** A running log-sum-exp: the maximum of some scores, and the sum of e^(score - max). */
export interface RunningLogSumExp {
  max: number;
  sum: number;
}

/** ln (e^a + e^b) */
export const logAddExp = (a: number, b: number): number => {
  const max = Math.max(a, b);
  return max === Number.NEGATIVE_INFINITY ? max : max + Math.log1p(Math.exp(Math.min(a, b) - max));
};

/** max + ln sum: the logarithm of the sum of e^score. */
export const logSumExp = ({ max, sum }: RunningLogSumExp): number => max + Math.log(sum);

/** The region where positions, scores and results are gathered. */
export const primaryRegion = ({ segments }: Pick<GroupWork, 'segments'>): ThreadRegion =>
  (segments[0] as HeadSegment).region;

/**
 * Bytes of `count` exact keys and values. In an int8 cache the rows of open pages are longer, and are assumed to be
 * among them.
 */
export function exactRowBytes({ shape, segments }: GroupWork, count: number): number {
  const row = rowBytes(shape.headDim, shape.precision);
  let open = 0;
  for (const { pages, from, to } of segments) if (pages.precision !== shape.precision) open += to - from;
  const extraBytes = rowBytes(shape.headDim, openPrecision(shape)) - row;
  return 2 * (count * row + Math.min(open, count) * extraBytes);
}

/**
 * Copies query rows (rows, d) into the workspaces of all regions, scaled by 1 / sqrt(d). Returns the norms of the rows.
 */
export function loadQueries(
  regions: readonly ThreadRegion[],
  rows: Float32Array,
  headDim: number,
  firstRow: number,
): number[] {
  const scale = 1 / Math.sqrt(headDim);
  const [primary, ...others] = regions as [ThreadRegion, ...ThreadRegion[]];
  const target = primary.views().f32;
  const start = primary.workspace.queries / 4 + firstRow * headDim;
  const queryNorms: number[] = [];
  for (let row = 0; row < rows.length; row += headDim) {
    let squared = 0;
    for (let i = row; i < row + headDim; i++) {
      const x = (rows[i] as number) * scale;
      target[start + i] = x;
      squared += x * x;
    }
    queryNorms.push(Math.sqrt(squared));
  }
  for (const { views, workspace } of others) {
    const scaled = target.subarray(start, start + rows.length);
    views().f32.set(scaled, workspace.queries / 4 + firstRow * headDim);
  }
  return queryNorms;
}

/**
 * Visits the segments in order with a softmax state of `rows` rows of d numbers, which starts empty, or with what it holds
 * in the region `start`, and moves along. Returns the region where it ends.
 */
export function foldSegments(
  segments: readonly HeadSegment[],
  rows: number,
  headDim: number,
  visit: (segment: HeadSegment) => void,
  stateOf: (workspace: Workspace) => number = ({ state }) => state,
  start?: ThreadRegion,
): ThreadRegion {
  let previous = start;
  for (const segment of segments) {
    const { region } = segment;
    const state = stateOf(region.workspace);
    if (previous === undefined) region.kernels.initSoftmaxState(state, rows, headDim);
    else if (previous !== region) copyState(previous, stateOf(previous.workspace), region, state, rows, headDim);
    visit(segment);
    previous = region;
  }
  return previous as ThreadRegion;
}

/** A group that sees its first n keys only. */
export const limitKeys = (work: GroupWork, n: number): GroupWork => ({
  ...work,
  n,
  segments: work.segments.filter(({ from }) => from < n).map((part) => ({ ...part, to: Math.min(part.to, n) })),
});

/** Copies a state from one region to another. */
export function copyState(
  from: ThreadRegion,
  source: number,
  to: ThreadRegion,
  destination: number,
  rows: number,
  headDim: number,
): void {
  const numbers = stateBytes(rows, headDim) / 4;
  to.views().f32.set(from.views().f32.subarray(source / 4, source / 4 + numbers), destination / 4);
}

/** Attends to all keys. Returns the region where the state lies. */
export function attendSegments(
  segments: readonly HeadSegment[],
  queries: Omit<QueryRows, 'address'>,
  headDim: number,
): ThreadRegion {
  return foldSegments(segments, queries.rows, headDim, ({ region, pages, from, to }) => {
    const { state, scratch, queries: address } = region.workspace;
    region.kernels.attendFull(pages, from, to, { ...queries, address }, state, scratch);
  });
}

/** Attends with all rows of a group to all keys that it may see. Returns the region where the state lies. */
export function attendAllKeys(work: GroupWork): ThreadRegion {
  const { segments, rows, n, shape } = work;
  return countSinks(work, attendSegments(segments, { rows, group: rows, limit: n }, shape.headDim));
}

/** Adds the sinks of a group to the state in a region, beside the keys that were attended exactly. Returns the region. */
export function countSinks({ rows, shape, sinks }: GroupWork, region: ThreadRegion): ThreadRegion {
  addSinks(region.views(), region.workspace.state, rows, shape.headDim, sinks);
  return region;
}

/** One row of a group as a group of its own. Its numbers stay where they are. */
export function singleRow(work: GroupWork, row: number): GroupWork {
  const { shape, segments, head, queryNorms, sinks } = work;
  const rowRegions = new Map<ThreadRegion, ThreadRegion>();
  for (const { region } of segments) {
    const { workspace } = region;
    const queries = workspace.queries + row * shape.headDim * 4;
    const scores = workspace.scores + row * scoreStrideOf(work) * 4;
    rowRegions.set(region, { ...region, workspace: { ...workspace, queries, scores } });
  }
  return {
    ...work,
    head: head + row,
    rows: 1,
    queryNorms: [queryNorms[row] as number],
    sinks: sinks && [sinks[row] as number],
    segments: segments.map((segment) => ({ ...segment, region: rowRegions.get(segment.region) as ThreadRegion })),
  };
}

/** Numbers from one row of a group's scores to the next. */
export const scoreStrideOf = ({ n }: GroupWork): number => scoreStride(n);

/**
 * Fills `scores` (rows, scoreStrideOf) of the primary region, segment by segment. `score` writes those of a segment's
 * keys, for all rows, to an address, with a stride; scores of other regions are copied to the primary one.
 */
export function gatherScores(
  work: GroupWork,
  score: (segment: HeadSegment, scores: number, stride: number) => void,
): void {
  const primary = primaryRegion(work);
  const stride = scoreStrideOf(work);
  for (const segment of work.segments) {
    const { region, from, to } = segment;
    if (region === primary) {
      score(segment, primary.workspace.scores + from * 4, stride);
      continue;
    }
    const ownStride = scoreStride(to - from);
    score(segment, region.workspace.scores, ownStride);
    for (let row = 0; row < work.rows; row++) {
      const source = region.workspace.scores / 4 + row * ownStride;
      const computed = region.views().f32.subarray(source, source + to - from);
      primary.views().f32.set(computed, primary.workspace.scores / 4 + row * stride + from);
    }
  }
}

/** Writes exact scores of all keys, for all rows, to `scores` (rows, scoreStrideOf) of the primary region. */
export function scoreAllKeys(work: GroupWork): void {
  gatherScores(work, ({ region, pages, from, to }, scores, stride) => {
    const { queries, scratch } = region.workspace;
    region.kernels.scoreKeys(pages, from, to, queries, work.rows, scores, stride, scratch);
  });
}

/** One row of the scores (n) that `gatherScores` has filled in. */
export function rowScores(work: GroupWork, row = 0): Float32Array {
  const { workspace, views } = primaryRegion(work);
  const start = workspace.scores / 4 + row * scoreStrideOf(work);
  return views().f32.subarray(start, start + work.n);
}

/** Running log-sum-exp of one row of the scores that `gatherScores` has filled in. */
export function rowLogSumExp(work: GroupWork, row = 0): RunningLogSumExp {
  return extendLogSumExp(
    primaryRegion(work),
    primaryRegion(work).workspace.scores + row * scoreStrideOf(work) * 4,
    work.n,
  );
}

/** Running log-sum-exp of `count` scores at an address, and of those that `previous` is of. */
export function extendLogSumExp(
  region: ThreadRegion,
  scores: number,
  count: number,
  previous?: RunningLogSumExp,
): RunningLogSumExp {
  const { kernels, workspace, views } = region;
  const at = workspace.softmaxStatistics / 4;
  const { f32 } = views();
  f32[at] = previous?.max ?? Number.NEGATIVE_INFINITY;
  f32[at + 1] = previous?.sum ?? 0;
  kernels.updateLogSumExp(scores, count, workspace.softmaxStatistics);
  return readLogSumExp(views(), workspace.softmaxStatistics);
}

export const readLogSumExp = ({ f32 }: Views, address: number): RunningLogSumExp => ({
  max: f32[address / 4] as number,
  sum: f32[address / 4 + 1] as number,
});

/** Running log-sum-exp of each row of a region's state. */
export function readStateSums({ views, workspace }: ThreadRegion, rows: number): RunningLogSumExp[] {
  const current = views();
  const sums: RunningLogSumExp[] = [];
  for (let row = 0; row < rows; row++) sums.push(readLogSumExp(current, workspace.state + row * 8));
  return sums;
}

/** The outputs (rows, d) of a region's state, divided by their sums. The state stays as it is. */
export function normalizedOutputs({ kernels, views, workspace }: ThreadRegion, rows: number, d: number): Float32Array {
  kernels.normalize(workspace.state, rows, d, workspace.outputs, d * 4);
  const start = workspace.outputs / 4;
  return views().f32.subarray(start, start + rows * d);
}

/** The numerators (rows, d) of a state at an address: outputs that are not divided yet. */
export const unnormalizedOutputs = ({ views }: ThreadRegion, state: number, rows: number, d: number): Float32Array => {
  const start = stateOutputs(state, rows) / 4;
  return views().f32.subarray(start, start + rows * d);
};

/** Where a selector writes the positions that it selects, ascending: int32 (n) in the primary region. */
export function selectedPositions(work: GroupWork): Int32Array {
  const { views, workspace } = primaryRegion(work);
  return views().i32.subarray(workspace.indices / 4, workspace.indices / 4 + work.n);
}

/** The keys of an ascending list that lie in one segment: entries [start, end) of the list. */
export interface ListPart extends HeadSegment {
  start: number;
  end: number;
  /** Address of their positions in the segment's region. */
  indices: number;
}

/**
 * The part in one segment of an ascending list: the `count` positions from entry `first` on of `list` in the primary
 * region. If the segment lies in another region, its part is copied to that region's buffer of the same name.
 */
export function listPartIn(
  work: GroupWork,
  segment: HeadSegment,
  list: (workspace: Workspace) => number,
  first: number,
  count: number,
): ListPart {
  const primary = primaryRegion(work);
  const address = list(primary.workspace);
  const { region, from, to } = segment;
  if (work.segments.length === 1) return listPart(segment, first, first + count, address + first * 4);
  const positions = primary.views().i32.subarray(address / 4 + first, address / 4 + first + count);
  const start = first + lowerBound(positions, from);
  const end = to >= work.n ? first + count : first + lowerBound(positions, to);
  if (region === primary) return listPart(segment, start, end, address + start * 4);
  const copied = list(region.workspace);
  region.views().i32.set(positions.subarray(start - first, end - first), copied / 4);
  return listPart(segment, start, end, copied);
}

const listPart = (
  { region, pages, from, to, earlierKeys }: HeadSegment,
  start: number,
  end: number,
  indices: number,
): ListPart => ({ region, pages, from, to, earlierKeys, start, end, indices });

/** Index of the first element that is at least `value`, in an ascending list. */
export function lowerBound(list: Int32Array, value: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((list[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Attends with all rows to the first `count` selected positions, which ascend; with more than one row the scores are
 * overwritten. Returns the region where the state lies.
 */
export function attendPositions(work: GroupWork, count: number): ThreadRegion {
  const region = foldSegments(work.segments, work.rows, work.shape.headDim, (segment) => {
    const { start, end, indices } = listPartIn(work, segment, (workspace) => workspace.indices, 0, count);
    attendList(segment, indices, end - start, work.rows, segment.region.workspace.state);
  });
  return countSinks(work, region);
}

/** Adds the keys at `indices` (count), which lie in one segment, to a state of `rows` rows. */
export function attendList(
  { region: { kernels, workspace }, pages }: HeadSegment,
  indices: number,
  count: number,
  rows: number,
  state: number,
): void {
  if (count === 0) return;
  const { queries, scores, scratch } = workspace;
  if (rows === 1) {
    kernels.attendSelected(pages, indices, count, queries, state, scratch);
    return;
  }
  const stride = scoreStride(count);
  kernels.scoreSelected(pages, indices, count, queries, rows, scores, stride, scratch);
  kernels.addValues(pages, indices, count, scores, stride, rows, state, scratch);
}
