/**
 * The steps of a group that read quantized keys and values: scores of all keys by their signs, scores of some by 4
 * bits, and attention with importance weights. The keys of the open page have no encodings yet; their exact scores
 * stand in.
 */

import { fromBfloat16 } from '../kernels/bfloat16.ts';
import { type Kernels, stateOutputs } from '../kernels/kernels.ts';
import { PAGE_KEYS, pagesFor, rotatedDim, rowBytes } from '../kernels/layout.ts';
import {
  type DrawnSample,
  exactSquaresAt,
  type QuantizedQueries,
  scanFractionBits,
  scanStride,
  scoreStride,
} from '../kernels/quantized-kernels.ts';
import { recordAddress } from '../kernels/quantized-rows.ts';
import {
  countSinks,
  foldSegments,
  type GroupWork,
  gatherScores,
  type HeadSegment,
  type ListPart,
  listPartIn,
  logAddExp,
  primaryRegion,
  type RunningLogSumExp,
  readLogSumExp,
  scoreStrideOf,
  type ThreadRegion,
} from './group-work.ts';
import type { Workspace } from './workspace.ts';

/** The first key of the open page; the keys before it have encodings. */
export const firstUnquantizedKey = (n: number): number => n - (n % PAGE_KEYS);

/** Prepares the query rows at `source` in every region's workspace for quantized scores. */
export function prepareQuantizedQueries(
  { segments, rows }: GroupWork,
  source: (workspace: Workspace) => number = ({ queries }) => queries,
): void {
  for (const { region, pages } of segments) {
    const { quantizedQuery, scratch } = region.workspace;
    region.kernels.quantizeQueries(pages, source(region.workspace), rows, quantizedQuery, scratch);
  }
}

/** Fractional bits with which a scan has room for the scores of a group. */
export const workScanFractionBits = ({ queryNorms, maxKeyNorm }: GroupWork): number =>
  scanFractionBits(queryNorms.reduce((a, b) => Math.max(a, b), 0) * maxKeyNorm);

/** The prepared queries of a segment. Scores of its page centres lie behind those of earlier segments of its region. */
const quantizedQueriesOf = ({ region, from, to, earlierKeys }: HeadSegment, rows: number): QuantizedQueries => ({
  address: region.workspace.quantizedQuery,
  rows,
  centerScores: region.workspace.centerScores + rows * pagesFor(earlierKeys) * 4,
  centerStride: pagesFor(to - from),
});

/**
 * Scans all keys by their signs, for all rows, into `signScores` (rows, scanStride) of int16 in the primary region, in
 * units of 2^-bits ln 2. Keys of the open page have their exact scores there, and at the end of the rows of `scores`
 * too.
 */
export function scanAllKeys(work: GroupWork, bits: number): void {
  const { rows, n } = work;
  const primary = primaryRegion(work);
  const stride = scanStride(n);
  for (const segment of work.segments) {
    const { region, pages, from, to } = segment;
    const { signScores } = region.workspace;
    const quantizedEnd = Math.max(from, firstUnquantizedKey(to));
    const [target, ownStride] =
      region === primary ? [signScores + from * 2, stride] : [signScores, scanStride(to - from)];
    const queries = quantizedQueriesOf(segment, rows);
    region.kernels.scanSigns(pages, from, quantizedEnd, queries, bits, target, ownStride);
    if (region === primary) continue;
    for (let row = 0; row < rows; row++) {
      const start = signScores / 2 + row * ownStride;
      const computed = region.views().i16.subarray(start, start + quantizedEnd - from);
      primary.views().i16.set(computed, primary.workspace.signScores / 2 + row * stride + from);
    }
  }
  scanUnquantizedKeys(work, bits);
}

/** Writes the exact scores of the keys of the open page. */
function scanUnquantizedKeys(work: GroupWork, bits: number): void {
  const { rows, n, segments } = work;
  const first = firstUnquantizedKey(n);
  if (first === n) return;
  const primary = primaryRegion(work);
  const { region, pages } = segments.at(-1) as HeadSegment;
  const { queries, scratch, scores } = region.workspace;
  const stride = scoreStrideOf(work);
  const [target, ownStride] = region === primary ? [scores + first * 4, stride] : [scores, scoreStride(n - first)];
  region.kernels.scoreKeys(pages, first, n, queries, rows, target, ownStride, scratch);
  if (region !== primary)
    copyRows(region, target, ownStride, primary, primary.workspace.scores + first * 4, stride, rows, n - first);
  const { f32, i16 } = primary.views();
  const units = 2 ** bits / Math.LN2;
  for (let row = 0; row < rows; row++) {
    const from = primary.workspace.scores / 4 + row * stride;
    const to = primary.workspace.signScores / 2 + row * scanStride(n);
    for (let j = first; j < n; j++) {
      i16[to + j] = Math.max(-32_768, Math.min(32_767, Math.round((f32[from + j] as number) * units)));
    }
  }
}

/**
 * Bounds the scores of all keys for row 0 by int8 keys: upper bounds in `scores` of the primary region, lower bounds in
 * each region's own `lowerBounds`. Those of the open page's keys are their exact scores with their rounding error.
 */
export function boundAllScores(work: GroupWork): void {
  const single = { ...work, rows: 1, queryNorms: work.queryNorms.slice(0, 1) };
  boundScores(single, ({ region, earlierKeys }) => region.workspace.lowerBounds + earlierKeys * 4);
}

/** Upper bounds on the scores of all keys for all rows by int8 keys, in `scores` (rows, scoreStrideOf): see above. */
export function boundScoresAbove(work: GroupWork): void {
  boundScores(work, () => 0);
}

/** `lowerBounds` says where the lower bounds of a segment go, which are of a single row; 0 for nowhere. */
function boundScores(work: GroupWork, lowerBoundsOf: (segment: HeadSegment) => number): void {
  prepareQuantizedQueries(work);
  const { maxKeyNorm, shape, rows } = work;
  const queryNorms = work.queryNorms.map((norm) => norm * (1 + 1e-6));
  // A score in float32 has d / 4 additions in each lane and a few roundings more, of at most u ||q|| ||k|| each.
  const slacks = queryNorms.map((norm) => 1.01 * (shape.headDim / 4 + 8) * 2 ** -24 * norm * maxKeyNorm);
  gatherScores(work, (segment, upper, stride) => {
    const { region, pages, from, to } = segment;
    const { queries, quantizedQuery, logWeightCaps: norms, scratch } = region.workspace;
    const lower = lowerBoundsOf(segment);
    const quantizedEnd = Math.max(from, firstUnquantizedKey(to));
    const { f32 } = region.views();
    f32.set(queryNorms, norms / 4);
    region.kernels.boundScores(pages, from, quantizedEnd, quantizedQuery, norms, rows, lower, upper, stride);
    if (quantizedEnd === to) return;
    const unquantizedScores = upper + (quantizedEnd - from) * 4;
    region.kernels.scoreKeys(pages, quantizedEnd, to, queries, rows, unquantizedScores, stride, scratch);
    for (const [row, slack] of slacks.entries()) {
      const start = unquantizedScores / 4 + row * stride;
      for (let j = 0; j < to - quantizedEnd; j++) {
        const score = f32[start + j] as number;
        if (lower !== 0) f32[lower / 4 + quantizedEnd - from + j] = score - slack;
        f32[start + j] = score + slack;
      }
    }
  });
}

/** Bytes that bounds on the scores of all keys read: int8 keys of full pages, and the exact keys of the last. */
export function boundScanBytes({ n, shape }: GroupWork): number {
  const d = rotatedDim(shape.headDim);
  const unquantizedKeys = n - firstUnquantizedKey(n);
  const quantizedBytes = pagesFor(firstUnquantizedKey(n)) * (PAGE_KEYS * (d + 6) + d + 4);
  return quantizedBytes + unquantizedKeys * rowBytes(shape.headDim, shape.precision);
}

/** The lower bounds (n) that `boundAllScores` has found. */
export function scoreLowerBounds({ segments, n }: GroupWork): Float32Array {
  const parts = segments.map(({ region, from, to, earlierKeys }) => {
    const start = region.workspace.lowerBounds / 4 + earlierKeys;
    return region.views().f32.subarray(start, start + to - from);
  });
  const [single] = parts;
  if (single !== undefined && parts.length === 1) return single;
  const joined = new Float32Array(n);
  for (const [i, { from }] of segments.entries()) joined.set(parts[i] as Float32Array, from);
  return joined;
}

/** Bound on the error of a score, in nats, because the query was scaled and rounded. */
export const maxScoreRoundingError = ({ queryNorms, maxKeyNorm }: GroupWork, row = 0): number =>
  1.01 * 2 ** -24 * (queryNorms[row] as number) * maxKeyNorm;

/** Pages whose keys stand for those of all pages, at most, and every how many of their keys one is looked at. */
const SAMPLED_PAGES = 8;
const SAMPLED_KEY_STRIDE = 16;

/**
 * Root mean square error of the scores of each row by 4-bit keys, in nats: a dimension of a key is rounded by up to half of
 * its step, evenly, and the query, once rotated, points in no direction of its own. Keys with a few large dimensions have
 * large steps in all of them. From some keys of a few pages; 0 where no page is full.
 */
export function int4ScoreErrors({ segments, n, shape, queryNorms }: GroupWork): number[] {
  const fullPages = firstUnquantizedKey(n) / PAGE_KEYS;
  const sampledPages = Math.min(SAMPLED_PAGES, fullPages);
  const rowNumbers = (PAGE_KEYS * rotatedDim(shape.headDim)) / 2;
  let [squares, keys, next] = [0, 0, 0];
  let segment = segments[0] as HeadSegment;
  for (let i = 0; i < sampledPages; i++) {
    const page = Math.floor(((i + 0.5) * fullPages) / sampledPages);
    while (page * PAGE_KEYS >= segment.to) segment = segments[++next] as HeadSegment;
    const views = segment.region.views();
    const first = (recordAddress(views, segment.pages, page) + segment.pages.int4) / 2 + rowNumbers;
    for (let key = (2 * i + 1) % SAMPLED_KEY_STRIDE; key < PAGE_KEYS; key += SAMPLED_KEY_STRIDE) {
      squares += fromBfloat16(views.u16[first + 2 * key] as number) ** 2;
      keys++;
    }
  }
  // A step of the four upper bits is 16 of those that are stored, and an even error of half a step has 1/12 of its square.
  const perDimension = keys === 0 ? 0 : 16 * Math.sqrt(squares / keys / 12);
  return queryNorms.map((norm) => norm * perDimension);
}

/** The largest of these errors. */
export const scoreRounding = (work: GroupWork): number => Math.max(...int4ScoreErrors(work));

/** Running log-sum-exp of one row's scan over all keys, to a few per cent. */
export function approximateLogSumExp(work: GroupWork, row: number, bits: number): RunningLogSumExp {
  const { kernels, workspace, views } = primaryRegion(work);
  kernels.approximateLogSumExp(
    workspace.signScores + row * scanStride(work.n) * 2,
    work.n,
    bits,
    workspace.softmaxStatistics,
  );
  return readLogSumExp(views(), workspace.softmaxStatistics);
}

const indicesIn = ({ indices }: Workspace): number => indices;
const scoresIn = ({ scores }: Workspace): number => scores;

/**
 * Scores the first `count` positions of a list in the primary region, all in full pages, by 4-bit keys: column j of
 * `scores` (rows, scoreStrideOf) becomes the score of position j. The lists and buffers are those of the primary
 * region, by default `indices` and `scores`. Needs the scan of `scanAllKeys`.
 */
export function scoreQuantizedKeys(work: GroupWork, count: number, list = indicesIn, scores = scoresIn): void {
  const { rows } = work;
  const primary = primaryRegion(work);
  const stride = scoreStrideOf(work);
  for (const segment of work.segments) {
    const { region, pages, from } = segment;
    const part = listPartIn(work, segment, list, 0, count);
    const partCount = part.end - part.start;
    if (partCount === 0) continue;
    const destination = scores(primary.workspace) + part.start * 4;
    const [target, ownStride] =
      region === primary ? [destination, stride] : [region.workspace.scores, scoreStride(partCount)];
    const queries = quantizedQueriesOf(segment, rows);
    region.kernels.scoreQuantized(pages, from, part.indices, partCount, queries, target, ownStride);
    if (region === primary) continue;
    copyRows(region, target, ownStride, primary, destination, stride, rows, partCount);
  }
}

/** Says where the log-weights (rows, stride) of a part's keys are, once it has put them there. */
type PlaceLogWeights = (part: ListPart, partCount: number) => { scores: number; stride: number };

/** Scores selected positions exactly, turns the scores into importance weights, and adds their squares to the results. */
function placeExactWeights(work: GroupWork): PlaceLogWeights {
  const { rows } = work;
  const primary = primaryRegion(work);
  return ({ region, pages, start, indices }, partCount) => {
    const { queries, scratch, scores, logProbabilities, logWeightCaps } = region.workspace;
    const stride = scoreStride(partCount);
    region.kernels.scoreSelected(pages, indices, partCount, queries, rows, scores, stride, scratch);
    const probabilities =
      region === primary
        ? logProbabilities + start * 4
        : copyRows(
            primary,
            primary.workspace.logProbabilities + start * 4,
            0,
            region,
            logProbabilities,
            0,
            1,
            partCount,
          );
    if (region !== primary) copyRows(primary, primary.workspace.logWeightCaps, 0, region, logWeightCaps, 0, 1, rows);
    region.kernels.applyImportanceWeights(scores, stride, rows, partCount, {
      logProbabilities: probabilities,
      caps: logWeightCaps,
    });
    addExactSquares(work, region, { scores, stride, logProbabilities: probabilities, count: partCount });
    return { scores, stride };
  };
}

/** Log-weights `scores` (rows, stride) of some keys in a region, and ln pi of each (count). */
type WeightedKeys = Pick<DrawnSample, 'scores' | 'stride' | 'logProbabilities' | 'count'>;

/** Adds the squared weights of keys to what the results have of each row. */
function addExactSquares(
  work: GroupWork,
  { kernels, views, workspace }: ThreadRegion,
  { scores, stride, logProbabilities, count }: WeightedKeys,
): void {
  const { softmaxStatistics: squares, rowState } = workspace;
  kernels.sumExactSquares(scores, stride, work.rows, count, logProbabilities, squares, rowState);
  const primary = primaryRegion(work);
  const [sums, added] = [primary.views().f32, views().f32];
  for (let row = 0; row < work.rows; row++) {
    const sum = exactSquaresAt(primary.workspace.results, row);
    const from = squares / 4 + 2 * row;
    sums[sum] = logAddExp(sums[sum] as number, added[from] as number);
    sums[sum + 1] = logAddExp(sums[sum + 1] as number, added[from + 1] as number);
  }
}

/**
 * Attends with all rows to the first `count` selected positions exactly, each with its importance weight. Leaves the sums of
 * their squared weights where a step leaves its results. Returns the region where the state lies.
 */
export function attendWeighted(work: GroupWork, count: number): ThreadRegion {
  const { views, workspace } = primaryRegion(work);
  for (let row = 0; row < work.rows; row++) {
    const sum = exactSquaresAt(workspace.results, row);
    views().f32.fill(Number.NEGATIVE_INFINITY, sum, sum + 2);
  }
  const region = addListedKeys(
    work.segments,
    work,
    indicesIn,
    0,
    count,
    work.shape.headDim,
    ({ state }) => state,
    placeExactWeights(work),
    'addValues',
  );
  return countSinks(work, region);
}

/**
 * Attends with all rows to `count` keys by their 4-bit values: those from entry `first` of `quantizedIndices` on, with
 * the log-weights in `quantizedScores`. The state is one of the three `quantizedStates`. Returns the region where it
 * lies.
 */
export function attendQuantized(work: GroupWork, first: number, count: number, stateIndex: 0 | 1 | 2): ThreadRegion {
  const { rows, shape, segments } = work;
  const primary = primaryRegion(work);
  const stride = scoreStrideOf(work);
  const placeLogWeights: PlaceLogWeights = ({ region, start }, partCount) => {
    const scores = primary.workspace.quantizedScores + start * 4;
    if (region === primary) return { scores, stride };
    const ownStride = scoreStride(partCount);
    const target = region.workspace.quantizedScores;
    return { scores: copyRows(primary, scores, stride, region, target, ownStride, rows, partCount), stride: ownStride };
  };
  const quantizedState = ({ quantizedStates }: Workspace) => quantizedStates[stateIndex];
  const list = ({ quantizedIndices }: Workspace) => quantizedIndices;
  return addListedKeys(
    segments,
    work,
    list,
    first,
    count,
    rotatedDim(shape.headDim),
    quantizedState,
    placeLogWeights,
    'addQuantizedValues',
  );
}

function addListedKeys(
  segments: readonly HeadSegment[],
  work: GroupWork,
  list: (workspace: Workspace) => number,
  first: number,
  count: number,
  dimensions: number,
  stateOf: (workspace: Workspace) => number,
  placeLogWeights: PlaceLogWeights,
  add: keyof Pick<Kernels, 'addValues' | 'addQuantizedValues'>,
): ThreadRegion {
  const { rows } = work;
  return foldSegments(
    segments,
    rows,
    dimensions,
    (segment) => {
      const part = listPartIn(work, segment, list, first, count);
      const partCount = part.end - part.start;
      if (partCount === 0) return;
      const { scores, stride } = placeLogWeights(part, partCount);
      const { region, pages } = segment;
      const { workspace } = region;
      const state = stateOf(workspace);
      region.kernels[add](pages, part.indices, partCount, scores, stride, rows, state, workspace.scratch);
    },
    stateOf,
  );
}

/** Merges the quantized states of a region into the first, and that, rotated back, into the state of the exact rows. */
export function mergeQuantizedStates({ rows, shape }: GroupWork, region: ThreadRegion): void {
  const { headDim } = shape;
  const { kernels, workspace, views } = region;
  const { state, quantizedStates, outputs, scratch } = workspace;
  const [sum, ...others] = quantizedStates;
  for (const other of others) kernels.mergeState(sum, other, rows, rotatedDim(headDim));
  kernels.inverseRotate(stateOutputs(sum, rows), rows, headDim, outputs, scratch);
  // Now it is a state of rows of d numbers: its statistics are in place already.
  const { f32 } = views();
  f32.copyWithin(stateOutputs(sum, rows) / 4, outputs / 4, outputs / 4 + rows * headDim);
  kernels.mergeState(state, sum, rows, headDim);
}

/** Copies rows of numbers from one region to another. Returns their new address. */
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

/**
 * Bytes that a scan of the signs of n keys reads: signs, factors and centres of full pages, and the exact keys of the
 * last.
 */
export function signScanBytes(n: number, headDim: number, keyBytes: number): number {
  const d = rotatedDim(headDim);
  return pagesFor(firstUnquantizedKey(n)) * (PAGE_KEYS * (d / 8 + 2) + d + 4) + (n - firstUnquantizedKey(n)) * keyBytes;
}
