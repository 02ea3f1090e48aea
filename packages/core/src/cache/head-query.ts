/**
 * The query rows of one position that share a key-value head, and the keys that they may see, as one thread works on
 * them: where the keys lie, and the exact steps that every policy is made of. A selector that chooses for every head on
 * its own gets one row at a time; one that chooses for the group gets all its rows. The keys may lie in several
 * regions; a step visits them in order, and the softmax state moves on with it. What is gathered about all keys lies in
 * the home region, that of the first keys.
 */
import { type Kernels, type Pages, type QueryRows, stateBytes, stateOutputs } from '../kernels/kernels.ts';
import { rowBytes } from '../kernels/layout.ts';
import type { Views } from '../kernels/views.ts';
import { type CacheShape, openPrecision } from './shape.ts';
import { scoreStride, type Workspace } from './workspace.ts';

/** A region as one thread sees it. */
export interface ThreadRegion {
  readonly memory: WebAssembly.Memory;
  readonly views: () => Views;
  readonly kernels: Kernels;
  /** Addresses of the page table, and of that of the blocks of open pages. */
  readonly table: number;
  readonly openTable: number;
  readonly workspace: Workspace;
}

/** Keys at positions [from, to) of one key-value head, in one region, all kept in the same way. */
export interface HeadSegment {
  region: ThreadRegion;
  pages: Pages;
  from: number;
  to: number;
  /** Keys in earlier segments of the same region. */
  before: number;
}

export interface HeadQuery {
  readonly shape: CacheShape;
  readonly layer: number;
  /** First query head, and how many: rows of the workspace's queries (rows, d). */
  readonly head: number;
  readonly rows: number;
  /** Keys that the queries may see: positions [0, n). */
  readonly n: number;
  readonly segments: readonly HeadSegment[];
  /** Norms of the queries (rows), scaled by 1 / sqrt(d). */
  readonly norms: readonly number[];
  /** Bounds on the norms of the keys and values of the head. */
  readonly keyNorm: number;
  readonly valueNorm: number;
  /** Root mean square of the norms of the head's values: for estimates. */
  readonly typicalValueNorm: number;
}

/** Sum of e^(score - largest) over some keys. */
export interface SoftmaxSum {
  largest: number;
  sum: number;
}

/** The logarithm of a sum. */
export const logOf = ({ largest, sum }: SoftmaxSum): number => largest + Math.log(sum);

/** The region where positions, scores and results are gathered. */
export const homeOf = ({ segments }: Pick<HeadQuery, 'segments'>): ThreadRegion => (segments[0] as HeadSegment).region;

/**
 * Bytes of `count` exact rows of keys and of values. In an int8 cache those of open pages are longer, and are taken to be
 * among them.
 */
export function exactBytes({ shape, segments }: HeadQuery, count: number): number {
  const row = rowBytes(shape.headDim, shape.precision);
  let open = 0;
  for (const { pages, from, to } of segments) if (pages.precision !== shape.precision) open += to - from;
  const longer = rowBytes(shape.headDim, openPrecision(shape)) - row;
  return 2 * (count * row + Math.min(open, count) * longer);
}

/**
 * Copies query rows (rows, d) into the workspaces of all regions, scaled by 1 / sqrt(d). Returns the norms of the rows.
 */
export function placeQueries(
  regions: readonly ThreadRegion[],
  rows: Float32Array,
  headDim: number,
  firstRow: number,
): number[] {
  const scale = 1 / Math.sqrt(headDim);
  const [home, ...others] = regions as [ThreadRegion, ...ThreadRegion[]];
  const target = home.views().f32;
  const start = home.workspace.queries / 4 + firstRow * headDim;
  const norms: number[] = [];
  for (let row = 0; row < rows.length; row += headDim) {
    let squared = 0;
    for (let i = row; i < row + headDim; i++) {
      const x = (rows[i] as number) * scale;
      target[start + i] = x;
      squared += x * x;
    }
    norms.push(Math.sqrt(squared));
  }
  for (const { views, workspace } of others) {
    const placed = target.subarray(start, start + rows.length);
    views().f32.set(placed, workspace.queries / 4 + firstRow * headDim);
  }
  return norms;
}

/** Walks through the segments with a softmax state of `rows` rows of d numbers; leaves it in the last one's region. */
export function carryState(
  segments: readonly HeadSegment[],
  rows: number,
  headDim: number,
  visit: (segment: HeadSegment) => void,
  stateOf: (workspace: Workspace) => number = ({ state }) => state,
): ThreadRegion {
  let previous: ThreadRegion | undefined;
  for (const segment of segments) {
    const { region } = segment;
    const state = stateOf(region.workspace);
    if (previous === undefined) region.kernels.startState(state, rows, headDim);
    else if (previous !== region) copyState(previous, stateOf(previous.workspace), region, state, rows, headDim);
    visit(segment);
    previous = region;
  }
  return previous as ThreadRegion;
}

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

/** Attends with all rows of a query to all keys that it may see. Returns the region where the state lies. */
export const attendEverything = ({ segments, rows, n, shape }: HeadQuery): ThreadRegion =>
  attendAll(segments, { rows, group: rows, limit: n }, shape.headDim);

/** One row of a query as a query of its own: its numbers stay where they lie. */
export function singleRow(query: HeadQuery, row: number): HeadQuery {
  const { shape, segments, head, norms } = query;
  const opened = new Map<ThreadRegion, ThreadRegion>();
  for (const { region } of segments) {
    const { workspace } = region;
    const queries = workspace.queries + row * shape.headDim * 4;
    const scores = workspace.scores + row * strideOf(query) * 4;
    opened.set(region, { ...region, workspace: { ...workspace, queries, scores } });
  }
  return {
    ...query,
    head: head + row,
    rows: 1,
    norms: [norms[row] as number],
    segments: segments.map((segment) => ({ ...segment, region: opened.get(segment.region) as ThreadRegion })),
  };
}

/** Numbers from one row of a query's scores to the next. */
export const strideOf = ({ n }: HeadQuery): number => scoreStride(n);

/**
 * Fills rows of scores (rows, strideOf) in the home region's workspace, segment by segment. `score` writes those of a
 * segment's keys, for all rows, to an address, with a stride; scores of other regions are copied home.
 */
export function gatherScores(
  query: HeadQuery,
  score: (segment: HeadSegment, scores: number, stride: number) => void,
): void {
  const home = homeOf(query);
  const stride = strideOf(query);
  for (const segment of query.segments) {
    const { region, from, to } = segment;
    if (region === home) {
      score(segment, home.workspace.scores + from * 4, stride);
      continue;
    }
    const own = scoreStride(to - from);
    score(segment, region.workspace.scores, own);
    for (let row = 0; row < query.rows; row++) {
      const source = region.workspace.scores / 4 + row * own;
      const computed = region.views().f32.subarray(source, source + to - from);
      home.views().f32.set(computed, home.workspace.scores / 4 + row * stride + from);
    }
  }
}

/** Exact scores of all keys, for all rows: (rows, strideOf), in the home region's workspace. */
export function scoreAll(query: HeadQuery): void {
  gatherScores(query, ({ region, pages, from, to }, scores, stride) => {
    const { queries, scratch } = region.workspace;
    region.kernels.scoreKeys(pages, from, to, queries, query.rows, scores, stride, scratch);
  });
}

/** One row of scores (n), once they have been gathered. */
export function scoresOf(query: HeadQuery, row = 0): Float32Array {
  const { workspace, views } = homeOf(query);
  const start = workspace.scores / 4 + row * strideOf(query);
  return views().f32.subarray(start, start + query.n);
}

/** Sum over the scores of all keys for one row, once they have been gathered. */
export function sumOfScores(query: HeadQuery, row = 0): SoftmaxSum {
  return sumOver(homeOf(query), homeOf(query).workspace.scores + row * strideOf(query) * 4, query.n);
}

/** Sum over `count` scores at an address. */
export function sumOver(region: ThreadRegion, scores: number, count: number, before?: SoftmaxSum): SoftmaxSum {
  const { kernels, workspace, views } = region;
  const at = workspace.statistics / 4;
  const { f32 } = views();
  f32[at] = before?.largest ?? Number.NEGATIVE_INFINITY;
  f32[at + 1] = before?.sum ?? 0;
  kernels.absorbMass(scores, count, workspace.statistics);
  return readSum(views(), workspace.statistics);
}

export const readSum = ({ f32 }: Views, address: number): SoftmaxSum => ({
  largest: f32[address / 4] as number,
  sum: f32[address / 4 + 1] as number,
});

/** The sums of a state's rows. */
export const readSums = ({ views, workspace }: ThreadRegion, rows: number): SoftmaxSum[] =>
  Array.from({ length: rows }, (_, row) => readSum(views(), workspace.state + row * 8));

/** The outputs (rows, d) of the state, divided by their sums; the state stays as it is. */
export function finishedOutputs({ kernels, views, workspace }: ThreadRegion, rows: number, d: number): Float32Array {
  kernels.finishState(workspace.state, rows, d, workspace.outputs, d * 4);
  const start = workspace.outputs / 4;
  return views().f32.subarray(start, start + rows * d);
}

/** The outputs (rows, d) of a state at an address, not divided. */
export const rawOutputs = ({ views }: ThreadRegion, state: number, rows: number, d: number): Float32Array => {
  const start = stateOutputs(state, rows) / 4;
  return views().f32.subarray(start, start + rows * d);
};

/** Where a selector writes the positions that it chose, ascending: int32 (n) in the home region. */
export function positionsBuffer(query: HeadQuery): Int32Array {
  const { views, workspace } = homeOf(query);
  return views().i32.subarray(workspace.indices / 4, workspace.indices / 4 + query.n);
}

/** The keys of an ascending list that lie in one segment: numbers [start, end) of the list. */
export interface ListPart extends HeadSegment {
  start: number;
  end: number;
  /** Address of their positions in the segment's region. */
  indices: number;
}

/**
 * Splits an ascending list of `count` positions at `list` in the home region by segments, in order. Where a segment
 * lies in another region, its part of the list is copied to that region's buffer of the same name.
 */
export function partOf(
  query: HeadQuery,
  segment: HeadSegment,
  list: (workspace: Workspace) => number,
  first: number,
  count: number,
): ListPart {
  const home = homeOf(query);
  const address = list(home.workspace);
  if (query.segments.length === 1)
    return { ...segment, start: first, end: first + count, indices: address + first * 4 };
  const positions = home.views().i32.subarray(address / 4 + first, address / 4 + first + count);
  const start = first + lowerBound(positions, segment.from);
  const end = segment.to >= query.n ? first + count : first + lowerBound(positions, segment.to);
  if (segment.region === home) return { ...segment, start, end, indices: address + start * 4 };
  const own = list(segment.region.workspace);
  segment.region.views().i32.set(positions.subarray(start - first, end - first), own / 4);
  return { ...segment, start, end, indices: own };
}

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
 * Attends with all rows to the first `count` positions of the positions buffer, which ascend; with more than one row the
 * scores are of no use afterwards. Returns the region where the state lies.
 */
export function attendPositions(query: HeadQuery, count: number): ThreadRegion {
  return carryState(query.segments, query.rows, query.shape.headDim, (segment) => {
    const { start, end, indices } = partOf(query, segment, (workspace) => workspace.indices, 0, count);
    attendList(segment, indices, end - start, query.rows, segment.region.workspace.state);
  });
}

/** Takes the keys at `indices` (count), which lie in one segment, into a state of `rows` rows. */
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
