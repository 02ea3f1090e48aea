/**
 * Sparse attention of a prompt: one sample of the keys for a block of consecutive queries, all their heads together.
 * A task has one block and one key-value head.
 *
 * The keys of the block itself and the ones shortly before it are attended densely. Of the others a sample is drawn, as
 * the sieve draws one for a single position, with the largest share that a key has for the mean of any of a few parts of
 * the block; its rows are gathered and multiplied as dense blocks, each key with the weight 1 / pi. Neighbours share
 * keys: a sample for the block is a few times that of one position, where it serves 64.
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
import { SCANNED_MEANS, type Workspace } from '../cache/workspace.ts';
import { scanStride } from '../kernels/code-kernels.ts';
import { codeDim, rowBytes } from '../kernels/layout.ts';
import type { SparsePolicy } from '../policies/policy.ts';
import type { BlockSampling } from '../selectors/selector.ts';
import { attendBlock, type Block, blockOf, placeBlock, returnBlock } from './dense.ts';
import type { Job } from './job.ts';
import { noteResult, type RowResult } from './row-result.ts';
import { BLOCK_SUMS } from './shares.ts';
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
  const most = Math.ceil(sampling.sampleSize(keys) * (job.shares[block.keyValueHead] as number));
  const sums =
    most >= LARGEST_SHARE * past
      ? attendDensely(thread, job, block)
      : attendSampled(thread, job, block, past, most, sampling.temper);
  thread.exchange.views().f32.set(sums, job.sums / 4 + task * BLOCK_SUMS);
}

/** What a block leaves for `Shares`. */
type BlockSums = [squaredError: number, squaredOutput: number];

function attendDensely(thread: ThreadContext, job: Job, block: Block): BlockSums {
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
  return [0, 0];
}

function attendSampled(
  thread: ThreadContext,
  job: Job,
  block: Block,
  past: number,
  most: number,
  temper: number,
): BlockSums {
  const { shape, group } = thread;
  const { headDim } = shape;
  const { rows, limit, n, keyValueHead } = block;
  const largestNorm = placeBlock(thread, job, block);
  const query: HeadQuery = {
    shape,
    layer: job.layer,
    head: keyValueHead * group,
    rows,
    n: past,
    segments: headSegments(thread, job.segments, job.layer, keyValueHead, 0, past),
    norms: [largestNorm],
    keyNorm: job.norms[3 * keyValueHead] as number,
    valueNorm: 0,
    typicalValueNorm: 0,
  };
  const bits = poolShares(query, block, temper);
  const ownFrom = openFrom(limit);
  const parts = drawSample(query, most, limit, bits, ownFrom);

  const segments = headSegments(thread, job.segments, job.layer, keyValueHead, 0, n);
  const all = { ...query, n, segments };
  const region = attendPart(all, 0, parts[0], mainState, ({ region: { kernels, workspace }, pages, from, to }) => {
    if (to <= ownFrom) return;
    const { queries: address, state, scratch } = workspace;
    kernels.attendDense(pages, Math.max(from, ownFrom), to, { address, rows, group, limit }, state, scratch);
  });
  attendPart(all, parts[0], parts[1], ({ halfStates }) => halfStates[0]);
  attendPart(all, parts[0] + parts[1], parts[2], ({ halfStates }) => halfStates[1]);

  const errors = mergeHalves(region, rows, headDim);
  returnBlock(thread, job, block, region);
  const drawn = parts[0] + parts[1] + parts[2] - (ownFrom - past);
  const scanned = (past / 64) * (64 * (codeDim(headDim) / 8 + 2) + codeDim(headDim) + 4);
  const read = 2 * rowBytes(headDim, shape.precision);
  note(thread, job, block, scanned + (drawn + n - past) * read, (row, bytesRead) => ({
    keysRead: drawn + limit - past + Math.floor(row / group),
    keysCoded: 0,
    keysNeeded: 0,
    bytesRead,
    ...errorOf(errors, row),
    kind: 'estimated',
    outcome: 'chosen',
  }));
  const sums: BlockSums = [0, 0];
  for (let at = 0; at < errors.length; at += 3) {
    sums[0] += errors[at + 1] as number;
    sums[1] += errors[at + 2] as number;
  }
  return sums;
}

const mainState = ({ state }: Workspace): number => state;

/**
 * The largest tempered share of every key, into `pooled`, for the mean of any of some parts of the block. A mean is
 * flatter than any of its queries, but a scan of every query would take several times as long for a sample that is little
 * better. Returns the binary digits of the shares.
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
 * Puts the means of some neighbouring queries, which make up the block together, head by head, into `means` of every
 * region. Returns how many rows they are.
 */
function placeMeans({ segments, shape }: HeadQuery, { queries, rows }: Block): number {
  const width = (rows / queries) * shape.headDim;
  const count = Math.min(SCANNED_MEANS, queries);
  for (const { region } of segments) {
    const { f32 } = region.views();
    const source = region.workspace.queries / 4;
    const target = region.workspace.means / 4;
    for (let mean = 0; mean < count; mean++) {
      const from = Math.floor((mean * queries) / count);
      const to = Math.floor(((mean + 1) * queries) / count);
      for (let i = 0; i < width; i++) {
        let sum = 0;
        for (let query = from; query < to; query++) sum += f32[source + query * width + i] as number;
        f32[target + mean * width + i] = sum / (to - from);
      }
    }
  }
  return (count * rows) / queries;
}

/**
 * Draws the sample into the coded list, with -ln pi of each key in `codedScores`: first the certain keys and those from
 * the sampled ones to `certainTo`, then the others in two halves. Returns how many there are of each.
 */
function drawSample(
  query: HeadQuery,
  most: number,
  turn: number,
  bits: number,
  certainTo: number,
): [number, number, number] {
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
  const recent = certainTo - query.n;
  const parts: [number, number, number] = [certain + recent, Math.ceil(others / 2), Math.floor(others / 2)];
  for (let j = 0; j < recent; j++) {
    i32[codedIndices / 4 + certain + j] = query.n + j;
    f32[codedScores / 4 + certain + j] = 0;
  }
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

/** Takes one part of the coded list into a state, and what `visit` adds of each segment. */
function attendPart(
  query: HeadQuery,
  first: number,
  count: number,
  stateOf: (workspace: Workspace) => number,
  visit: (segment: HeadSegment) => void = () => {},
): ThreadRegion {
  const home = homeOf(query);
  const { rows, shape, segments } = query;
  return carryState(
    segments,
    rows,
    shape.headDim,
    (segment) => {
      visit(segment);
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

/**
 * Puts the state and the halves together, into the place of the queries: they are done with. Returns what `mergeHalves`
 * of the kernels tells of the rows (rows, 3).
 */
function mergeHalves({ kernels, views, workspace }: ThreadRegion, rows: number, d: number): Float32Array {
  const { state, halfStates, queries: outputs, errors } = workspace;
  kernels.mergeHalves(state, ...halfStates, rows, d, outputs, errors);
  return views().f32.subarray(errors / 4, errors / 4 + 3 * rows);
}

function errorOf(errors: Float32Array, row: number): Pick<RowResult, 'tailMass' | 'outputError'> {
  const [mass, squaredError, squaredNorm] = [errors[3 * row], errors[3 * row + 1], errors[3 * row + 2]] as [
    number,
    number,
    number,
  ];
  const outputError = squaredNorm > 0 ? Math.sqrt(squaredError / squaredNorm) : Number.POSITIVE_INFINITY;
  return { tailMass: Math.min(1, mass), outputError };
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
