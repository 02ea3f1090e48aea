/**
 * The steps of a group's queries that read the coded planes: scores of all keys by their signs, scores of some by their
 * 4-bit codes, and attention with given weights, exact or by codes. Keys of the page that is not full yet have no
 * codes; their exact scores stand in.
 */

import { scanBits, scanStride } from '../kernels/code-kernels.ts';
import { type Kernels, stateOutputs } from '../kernels/kernels.ts';
import { codeDim, PAGE_KEYS, pagesFor } from '../kernels/layout.ts';
import {
  carryState,
  gatherScores,
  type HeadQuery,
  type HeadSegment,
  homeOf,
  type ListPart,
  partOf,
  readSum,
  type SoftmaxSum,
  strideOf,
  type ThreadRegion,
} from './head-query.ts';
import { scoreStride, type Workspace } from './workspace.ts';

/** The first key of the page that is not full: the keys before it have codes. */
export const openFrom = (n: number): number => n - (n % PAGE_KEYS);

/** Prepares the rows of a query, which lie at `source` in every region's workspace, for the scores below. */
export function prepareCodes(
  { segments, rows, shape }: HeadQuery,
  source: (workspace: Workspace) => number = ({ queries }) => queries,
): void {
  for (const { region } of segments) {
    const { codeQuery, scratch } = region.workspace;
    region.kernels.prepareCodes(source(region.workspace), rows, shape.headDim, codeQuery, scratch);
  }
}

/** Binary digits of a scan that has room for the scores of a query. */
export const scanBitsOf = ({ norms, keyNorm }: HeadQuery): number =>
  scanBits(norms.reduce((a, b) => Math.max(a, b), 0) * keyNorm);

const baseStride = ({ from, to }: HeadSegment): number => pagesFor(to - from);

/** Where the scores of a segment's page centres lie: behind those of earlier segments of its region. */
const basesOf = ({ region, before }: HeadSegment, rows: number): number =>
  region.workspace.bases + rows * pagesFor(before) * 4;

/**
 * Estimated scores of all keys by their signs, for all rows: (rows, scanStride) of int16 in the home region's `scans`, in
 * units of 2^-bits ln 2. Keys without codes have their exact scores there, and at the end of the rows of `scores` too.
 */
export function scanAll(query: HeadQuery, bits: number): void {
  const { rows, n } = query;
  const home = homeOf(query);
  const stride = scanStride(n);
  for (const segment of query.segments) {
    const { region, pages, from, to } = segment;
    const { codeQuery, scans } = region.workspace;
    const bases = basesOf(segment, rows);
    const whole = Math.max(from, openFrom(to));
    const [target, own] = region === home ? [scans + from * 2, stride] : [scans, scanStride(to - from)];
    region.kernels.scanSigns(pages, from, whole, codeQuery, rows, bits, target, own, bases, baseStride(segment));
    if (region === home) continue;
    for (let row = 0; row < rows; row++) {
      const start = scans / 2 + row * own;
      const computed = region.views().i16.subarray(start, start + whole - from);
      home.views().i16.set(computed, home.workspace.scans / 2 + row * stride + from);
    }
  }
  scanOpen(query, bits);
}

/** The exact scores of the keys without codes, all in one page. */
function scanOpen(query: HeadQuery, bits: number): void {
  const { rows, n, segments } = query;
  const first = openFrom(n);
  if (first === n) return;
  const home = homeOf(query);
  const { region, pages } = segments.at(-1) as HeadSegment;
  const { queries, scratch, scores } = region.workspace;
  const stride = strideOf(query);
  const [target, own] = region === home ? [scores + first * 4, stride] : [scores, scoreStride(n - first)];
  region.kernels.scoreKeys(pages, first, n, queries, rows, target, own, scratch);
  if (region !== home) copyRows(region, target, own, home, home.workspace.scores + first * 4, stride, rows, n - first);
  const { f32, i16 } = home.views();
  const units = 2 ** bits / Math.LN2;
  for (let row = 0; row < rows; row++) {
    const from = home.workspace.scores / 4 + row * stride;
    const to = home.workspace.scans / 2 + row * scanStride(n);
    for (let j = first; j < n; j++) {
      i16[to + j] = Math.max(-32_768, Math.min(32_767, Math.round((f32[from + j] as number) * units)));
    }
  }
}

/**
 * Bounds on the scores of all keys for row 0, by their int8 codes: the upper ones in the home region's scores, the lower
 * ones in each region's own `lowerBounds`. Those of keys without codes are their exact scores, with what these may be off by.
 */
export function boundAll(query: HeadQuery): void {
  prepareCodes(query);
  const { norms, keyNorm, shape } = query;
  const norm = (norms[0] as number) * (1 + 1e-6);
  // A score in float32 has d / 4 additions in each lane and a few roundings more, of at most u ||q|| ||k|| each.
  const slack = (shape.headDim / 4 + 8) * 2 ** -24 * norm * keyNorm;
  gatherScores({ ...query, rows: 1 }, ({ region, pages, from, to, before }, upper, stride) => {
    const { queries, codeQuery, caps, scratch } = region.workspace;
    const lowerBounds = region.workspace.lowerBounds + before * 4;
    const whole = Math.max(from, openFrom(to));
    const { f32 } = region.views();
    f32[caps / 4] = norm;
    region.kernels.boundScores(pages, from, whole, codeQuery, caps, 1, lowerBounds, upper, stride);
    if (whole === to) return;
    const open = upper + (whole - from) * 4;
    region.kernels.scoreKeys(pages, whole, to, queries, 1, open, stride, scratch);
    for (let j = 0; j < to - whole; j++) {
      const score = f32[open / 4 + j] as number;
      f32[lowerBounds / 4 + whole - from + j] = score - slack * 1.01;
      f32[open / 4 + j] = score + slack * 1.01;
    }
  });
}

/** The lower bounds (n), once `boundAll` has found them. */
export function lowerBoundsOf({ segments, n }: HeadQuery): Float32Array {
  const parts = segments.map(({ region, from, to, before }) => {
    const start = region.workspace.lowerBounds / 4 + before;
    return region.views().f32.subarray(start, start + to - from);
  });
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return only;
  const all = new Float32Array(n);
  for (const [i, { from }] of segments.entries()) all.set(parts[i] as Float32Array, from);
  return all;
}

/** By how much a score may have moved because the query was scaled and rounded: in nats. */
export const movedByRounding = ({ norms, keyNorm }: HeadQuery): number =>
  1.01 * 2 ** -24 * (norms[0] as number) * keyNorm;

/** The sum over the scores of all keys for one row, once they have been scanned, to a few per cent. */
export function estimatedSum(query: HeadQuery, row: number, bits: number): SoftmaxSum {
  const { kernels, workspace, views } = homeOf(query);
  kernels.estimateMass(workspace.scans + row * scanStride(query.n) * 2, query.n, bits, workspace.statistics);
  return readSum(views(), workspace.statistics);
}

const indicesOf = ({ indices }: Workspace): number => indices;
const scoresIn = ({ scores }: Workspace): number => scores;

/**
 * Scores by 4-bit codes of the first `count` positions of a list in the home region, the positions buffer if no other,
 * all with codes: column j of the home region's scores, or of another buffer (rows, strideOf), becomes that of position
 * j. `scanAll` has gone before.
 */
export function scoreListed(query: HeadQuery, count: number, list = indicesOf, scores = scoresIn): void {
  const { rows } = query;
  const home = homeOf(query);
  const stride = strideOf(query);
  for (const segment of query.segments) {
    const { region, pages, from } = segment;
    const part = partOf(query, segment, list, 0, count);
    const some = part.end - part.start;
    if (some === 0) continue;
    const wanted = scores(home.workspace) + part.start * 4;
    const [target, own] = region === home ? [wanted, stride] : [region.workspace.scores, scoreStride(some)];
    const { codeQuery } = region.workspace;
    const bases = basesOf(segment, rows);
    region.kernels.scoreCodes(
      pages,
      from,
      part.indices,
      some,
      codeQuery,
      rows,
      target,
      own,
      bases,
      baseStride(segment),
    );
    if (region === home) continue;
    copyRows(region, target, own, home, wanted, stride, rows, some);
  }
}

/** Attends with given weights: log-weights of a part's keys are put at `scores` (rows, stride), then added up. */
type Weigh = (part: ListPart, some: number) => { scores: number; stride: number };

/**
 * Attends exactly with all rows to the first `count` positions of the positions buffer, each with the weight that its
 * probability and the caps give it. Returns the region where the state lies.
 */
export function attendWeighted(query: HeadQuery, count: number): ThreadRegion {
  const { rows, shape, segments } = query;
  const home = homeOf(query);
  const weigh: Weigh = ({ region, pages, start, indices }, some) => {
    const { queries, scratch, scores, logProbabilities, caps } = region.workspace;
    const stride = scoreStride(some);
    region.kernels.scoreSelected(pages, indices, some, queries, rows, scores, stride, scratch);
    const probabilities =
      region === home
        ? logProbabilities + start * 4
        : copyRows(home, home.workspace.logProbabilities + start * 4, 0, region, logProbabilities, 0, 1, some);
    if (region !== home) copyRows(home, home.workspace.caps, 0, region, caps, 0, 1, rows);
    region.kernels.weighScores(scores, stride, rows, some, { logProbabilities: probabilities, caps });
    return { scores, stride };
  };
  return addListed(segments, query, indicesOf, 0, count, shape.headDim, ({ state }) => state, weigh, 'addValues');
}

/**
 * Attends by 4-bit codes with all rows to `count` positions of the coded list from number `first` on, with the
 * log-weights that stand in `codedScores`, in the coded state number `which`. Returns the region where it lies.
 */
export function attendCoded(query: HeadQuery, first: number, count: number, which: 0 | 1 | 2): ThreadRegion {
  const { rows, shape, segments } = query;
  const home = homeOf(query);
  const stride = strideOf(query);
  const weigh: Weigh = ({ region, start }, some) => {
    const scores = home.workspace.codedScores + start * 4;
    if (region === home) return { scores, stride };
    const own = scoreStride(some);
    const target = region.workspace.codedScores;
    return { scores: copyRows(home, scores, stride, region, target, own, rows, some), stride: own };
  };
  const codedState = ({ codedStates }: Workspace) => codedStates[which];
  const list = ({ codedIndices }: Workspace) => codedIndices;
  return addListed(segments, query, list, first, count, codeDim(shape.headDim), codedState, weigh, 'addCodedValues');
}

function addListed(
  segments: readonly HeadSegment[],
  query: HeadQuery,
  list: (workspace: Workspace) => number,
  first: number,
  count: number,
  dimensions: number,
  stateOf: (workspace: Workspace) => number,
  weigh: Weigh,
  add: keyof Pick<Kernels, 'addValues' | 'addCodedValues'>,
): ThreadRegion {
  const { rows } = query;
  return carryState(
    segments,
    rows,
    dimensions,
    (segment) => {
      const part = partOf(query, segment, list, first, count);
      const some = part.end - part.start;
      if (some === 0) return;
      const { scores, stride } = weigh(part, some);
      const { region, pages } = segment;
      const { workspace } = region;
      const state = stateOf(workspace);
      region.kernels[add](pages, part.indices, some, scores, stride, rows, state, workspace.scratch);
    },
    stateOf,
  );
}

/** Merges the coded states into the first, and that, turned back, into the state of the exact rows in `region`. */
export function mergeCoded({ rows, shape }: HeadQuery, region: ThreadRegion): void {
  const { headDim } = shape;
  const { kernels, workspace, views } = region;
  const { state, codedStates, outputs, scratch } = workspace;
  const [sum, ...others] = codedStates;
  for (const other of others) kernels.mergeState(sum, other, rows, codeDim(headDim));
  kernels.rotateBack(stateOutputs(sum, rows), rows, headDim, outputs, scratch);
  // As a state of rows of d numbers: its statistics stand already where they belong.
  const { f32 } = views();
  f32.copyWithin(stateOutputs(sum, rows) / 4, outputs / 4, outputs / 4 + rows * headDim);
  kernels.mergeState(state, sum, rows, headDim);
}

/** Copies rows of numbers from one region to another; returns where they went. */
function copyRows(
  from: ThreadRegion,
  source: number,
  sourceStride: number,
  to: ThreadRegion,
  destination: number,
  stride: number,
  rows: number,
  count: number,
): number {
  for (let row = 0; row < rows; row++) {
    const start = source / 4 + row * sourceStride;
    to.views().f32.set(from.views().f32.subarray(start, start + count), destination / 4 + row * stride);
  }
  return destination;
}
