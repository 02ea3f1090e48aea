/**
 * Sparse attention of a prompt: one sample of the keys for a block of consecutive queries, all their heads together.
 * A task has one block and one key-value head.
 *
 * The keys of the block itself and the ones shortly before it are attended densely. Of the others a sample is drawn, as
 * the sieve draws one for a single position, with the largest share that a key has for any of a few pairs of
 * neighbouring queries; its rows are gathered and multiplied as dense blocks, each key with the weight 1 / pi. Neighbours
 * share keys: a sample for the block is a few times that of one position, where it serves 64.
 */
import { estimatedSum, openFrom, prepareCodes, scanAll, scanBitsOf } from '../cache/code-query.ts';
import {
  carryState,
  type HeadQuery,
  type HeadSegment,
  homeOf,
  logOf,
  partOf,
  type ThreadRegion,
} from '../cache/head-query.ts';
import { SCANNED_PAIRS, type Workspace } from '../cache/workspace.ts';
import { compareHalves, type HalvesEstimate } from '../certificates/halves.ts';
import { scanStride } from '../kernels/code-kernels.ts';
import { codeDim, rowBytes } from '../kernels/layout.ts';
import type { SparsePolicy } from '../policies/policy.ts';
import type { BlockSampling } from '../selectors/selector.ts';
import { attendBlock, type Block, blockOf, placeBlock, returnBlock } from './dense.ts';
import type { Job } from './job.ts';
import { noteResult, type RowResult } from './row-result.ts';
import { headSegments, type ThreadContext } from './thread.ts';

/** Keys before the block that are attended densely, at least. */
const RECENT_KEYS = 128;
/** A sample of more than this share of the keys costs more than it saves. */
const LARGEST_SHARE = 0.75;

export function sparseBlocksTask(thread: ThreadContext, job: Job, task: number): void {
  const block = blockOf(thread, job, task);
  const { budget, selector } = thread.policies[job.policy] as SparsePolicy;
  const past = Math.max(0, openFrom(block.limit - 1 - RECENT_KEYS));
  const head = block.keyValueHead * thread.group;
  const keys = past === 0 ? 0 : budget.keys({ n: past, layer: job.layer, head });
  const sampling = selector.blocks as BlockSampling;
  const most = sampling.sampleSize(keys);
  if (most >= LARGEST_SHARE * past) attendDensely(thread, job, block);
  else attendSampled(thread, job, block, past, most, sampling.temper);
}

function attendDensely(thread: ThreadContext, job: Job, block: Block): void {
  const { shape } = thread;
  attendBlock(thread, job, block);
  const bytes = 2 * block.n * rowBytes(shape.headDim, shape.precision);
  note(thread, job, block, bytes, (row, bytesRead) => ({
    keysRead: block.limit + Math.floor(row / thread.group),
    keysCoded: 0,
    keysNeeded: 0,
    bytesRead,
    tailMass: 0,
    outputError: 0,
    kind: 'certified',
    outcome: 'dense',
  }));
}

function attendSampled(
  thread: ThreadContext,
  job: Job,
  block: Block,
  past: number,
  most: number,
  temper: number,
): void {
  const { shape, group } = thread;
  const { headDim } = shape;
  const { rows, limit, n, keyValueHead } = block;
  const norms = placeBlock(thread, job, block);
  const query: HeadQuery = {
    shape,
    layer: job.layer,
    head: keyValueHead * group,
    rows,
    n: past,
    segments: headSegments(thread, job.segments, job.layer, keyValueHead, 0, past),
    norms,
    keyNorm: job.norms[3 * keyValueHead] as number,
    valueNorm: 0,
    typicalValueNorm: 0,
  };
  const bits = poolShares(query, block, temper);
  const parts = drawSample(query, most, limit, bits);

  const recent = headSegments(thread, job.segments, job.layer, keyValueHead, past, n);
  const segments = [...query.segments, ...recent];
  const region = attendPart(
    query,
    segments,
    0,
    parts[0],
    mainState,
    ({ region: { kernels, workspace }, pages, from, to }) => {
      const { queries: address, state, scratch } = workspace;
      kernels.attendDense(pages, from, to, { address, rows, group, limit }, state, scratch);
    },
  );
  attendPart(query, segments, parts[0], parts[1], ({ halfStates }) => halfStates[0]);
  attendPart(query, segments, parts[0] + parts[1], parts[2], ({ halfStates }) => halfStates[1]);

  const { tailMass, outputError } = mergeHalves(region, rows, headDim);
  returnBlock(thread, job, block, region);
  const drawn = parts[0] + parts[1] + parts[2];
  const scanned = (past / 64) * (64 * (codeDim(headDim) / 8 + 2) + codeDim(headDim) + 4);
  const read = 2 * rowBytes(headDim, shape.precision);
  note(thread, job, block, scanned + (drawn + n - past) * read, (row, bytesRead) => ({
    keysRead: drawn + limit - past + Math.floor(row / group),
    keysCoded: 0,
    keysNeeded: 0,
    bytesRead,
    tailMass: tailMass[row] as number,
    outputError: outputError[row] as number,
    kind: 'estimated',
    outcome: 'chosen',
  }));
}

const mainState = ({ state }: Workspace): number => state;

/**
 * The largest tempered share of every key, into `pooled`, for any of some pairs of neighbouring queries. They stand for
 * their neighbours: a scan of every query would take several times as long for a sample that is little better. Returns
 * the binary digits of the shares.
 */
function poolShares(query: HeadQuery, block: Block, temper: number): number {
  const { kernels, views, workspace } = homeOf(query);
  const { scans, offsets, pooled } = workspace;
  const { n } = query;
  const bits = scanBitsOf(query);
  const means = { ...query, rows: placeMeans(query, block) };
  prepareCodes(means, meansOf);
  scanAll(means, bits);
  const logSums = Array.from({ length: means.rows }, (_, row) => logOf(estimatedSum(means, row, bits)));
  views().f32.set(logSums, offsets / 4);
  kernels.poolScans(scans, scanStride(n), means.rows, n, bits, offsets, temper, pooled, false);
  return bits;
}

const meansOf = ({ means }: Workspace): number => means;

/**
 * Puts the means of pairs of neighbouring queries, spread over the block, head by head, into `means` of every region.
 * Returns how many rows they are. A mean of more queries is nearer to more of them, but flatter than any: with it, keys
 * that few queries want are missed.
 */
function placeMeans({ segments, shape }: HeadQuery, { queries, rows }: Block): number {
  const width = (rows / queries) * shape.headDim;
  const count = Math.min(SCANNED_PAIRS, queries);
  for (const { region } of segments) {
    const { f32 } = region.views();
    const source = region.workspace.queries / 4;
    const target = region.workspace.means / 4;
    for (let mean = 0; mean < count; mean++) {
      const first = source + Math.floor((mean * queries) / count) * width;
      const second = Math.min(first + width, source + (queries - 1) * width);
      for (let i = 0; i < width; i++) {
        f32[target + mean * width + i] = ((f32[first + i] as number) + (f32[second + i] as number)) / 2;
      }
    }
  }
  return (count * rows) / queries;
}

/**
 * Draws the sample into the coded list, with -ln pi of each key in `codedScores`: first the certain keys, then the
 * others in two halves. Returns how many there are of each.
 */
function drawSample(query: HeadQuery, most: number, turn: number, bits: number): [number, number, number] {
  const { kernels, views, workspace } = homeOf(query);
  const { pooled, drawTables, indices, logProbabilities, threshold, groups, scratch } = workspace;
  const { codedIndices, codedScores } = workspace;
  const plan = { n: query.n, sinks: 4, keptFrom: query.n, most, turn };
  const lists = [indices, logProbabilities, threshold, groups] as const;
  const drawn = kernels.drawKeys(pooled, plan, bits, drawTables, ...lists, scratch);
  const { f32, i32 } = views();
  const probabilities = f32.subarray(logProbabilities / 4, logProbabilities / 4 + drawn);
  let certain = 0;
  for (let j = 0; j < drawn; j++) if (probabilities[j] === 0) certain++;
  const others = drawn - certain;
  const parts: [number, number, number] = [certain, Math.ceil(others / 2), Math.floor(others / 2)];
  const next = [0, parts[0], parts[0] + parts[1]];
  let half = 1;
  for (let j = 0; j < drawn; j++) {
    const part = probabilities[j] === 0 ? 0 : half;
    if (part !== 0) half = 3 - half;
    const at = next[part] as number;
    next[part] = at + 1;
    i32[codedIndices / 4 + at] = i32[indices / 4 + j] as number;
    f32[codedScores / 4 + at] = -(probabilities[j] as number);
  }
  return parts;
}

/** Takes one part of the sample into a state, and then what `visitRecent` adds of the keys past the sample. */
function attendPart(
  query: HeadQuery,
  segments: readonly HeadSegment[],
  first: number,
  count: number,
  stateOf: (workspace: Workspace) => number,
  visitRecent: (segment: HeadSegment) => void = () => {},
): ThreadRegion {
  const home = homeOf(query);
  const { rows, shape, n } = query;
  return carryState(
    segments,
    rows,
    shape.headDim,
    (segment) => {
      if (segment.from >= n) return visitRecent(segment);
      const { region, pages } = segment;
      const { start, end, indices } = partOf(query, segment, ({ codedIndices }) => codedIndices, first, count);
      if (end === start) return;
      const { queries, scratch, codedScores } = region.workspace;
      let biases = home.workspace.codedScores + start * 4;
      if (region !== home) {
        region.views().f32.set(home.views().f32.subarray(biases / 4, biases / 4 + end - start), codedScores / 4);
        biases = codedScores;
      }
      region.kernels.attendGathered(
        pages,
        indices,
        end - start,
        biases,
        queries,
        rows,
        stateOf(region.workspace),
        scratch,
      );
    },
    stateOf,
  );
}

/** Adds the halves to the state, and tells from their difference how far each row's output may be off. */
function mergeHalves(region: ThreadRegion, rows: number, d: number): HalvesEstimate {
  const { kernels, workspace } = region;
  const { state, halfStates, queries: outputs } = workspace;
  for (const half of halfStates) kernels.mergeState(state, half, rows, d);
  kernels.finishState(state, rows, d, outputs, d * 4);
  return compareHalves(region, { halves: halfStates, whole: state, outputs }, rows, d);
}

/** Notes the results of a block's rows; the bytes, which they read together, with the first. */
function note(
  { exchange, heads, group }: ThreadContext,
  job: Job,
  { first, rows, keyValueHead }: Block,
  bytesRead: number,
  resultOf: (row: number, bytesRead: number) => RowResult,
): void {
  const views = exchange.views();
  for (let row = 0; row < rows; row++) {
    const index = (first + Math.floor(row / group)) * heads + keyValueHead * group + (row % group);
    noteResult(views, job, index, resultOf(row, row === 0 ? bytesRead : 0));
  }
}
