/**
 * Sparse attention of a prompt: one sample of the keys for a block of consecutive queries, all their heads together.
 * A task has one block and one key-value head.
 *
 * The keys of the block itself and the ones shortly before it are attended densely. Of the others a sample is drawn, as
 * the sieve draws one for a single position, with the largest share that a key has for any of the rows; its rows are
 * gathered and multiplied as dense blocks, each key with the weight 1 / pi. Neighbours share keys: a sample for the
 * block is a few times that of one position, where it serves 64.
 */
import { estimatedSum, openFrom, prepareCodes, scanAll, scanBitsOf } from '../cache/code-query.ts';
import {
  carryState,
  type HeadQuery,
  type HeadSegment,
  homeOf,
  logOf,
  partOf,
  readSum,
  type ThreadRegion,
} from '../cache/head-query.ts';
import { SCANNED_QUERIES, type Workspace } from '../cache/workspace.ts';
import { distanceOfHalves, type Half, halfOf } from '../certificates/halves.ts';
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
  note(thread, job, block, bytes, (row) => ({
    keysRead: block.limit + Math.floor(row / thread.group),
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
  const bits = poolShares(query, group, temper);
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

  const estimates = mergeHalves(region, rows, headDim);
  returnBlock(thread, job, block, region);
  const drawn = parts[0] + parts[1] + parts[2];
  const scanned = (past / 64) * (64 * (codeDim(headDim) / 8 + 2) + codeDim(headDim) + 4);
  const read = 2 * rowBytes(headDim, shape.precision);
  note(thread, job, block, scanned + (drawn + n - past) * read, (row) => ({
    keysRead: drawn + limit - past + Math.floor(row / group),
    ...(estimates[row] as Estimate),
    kind: 'estimated',
    outcome: 'chosen',
  }));
}

const mainState = ({ state }: Workspace): number => state;

/**
 * The largest tempered share of every key for any row of the block, into `pooled`, a few queries at a time. Returns the
 * binary digits of the shares.
 */
function poolShares(query: HeadQuery, group: number, temper: number): number {
  const { n, rows: all } = query;
  const home = homeOf(query);
  const { kernels, views, workspace } = home;
  const bits = scanBitsOf(query);
  for (let first = 0; first < all; first += SCANNED_QUERIES * group) {
    const rows = Math.min(SCANNED_QUERIES * group, all - first);
    const some = { ...query, rows };
    prepareCodes(some, first);
    scanAll(some, bits);
    const logSums = Array.from({ length: rows }, (_, row) => logOf(estimatedSum(some, row, bits)));
    const { scans, offsets, pooled } = workspace;
    views().f32.set(logSums, offsets / 4);
    kernels.poolScans(scans, scanStride(n), rows, n, bits, offsets, temper, pooled, first > 0);
  }
  return bits;
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
  const certain = probabilities.reduce((count, x) => count + (x === 0 ? 1 : 0), 0);
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

interface Estimate {
  tailMass: number;
  outputError: number;
}

/**
 * Adds the halves to the state, and tells from their difference how far each row's output may be off: see
 * `certificates/halves.ts`. The tail mass is the share of the softmax that the sample stands for.
 */
function mergeHalves(region: ThreadRegion, rows: number, d: number): Estimate[] {
  const { kernels, views, workspace } = region;
  const { state, halfStates, queries: outputs } = workspace;
  const halves = halfStates.map((half) => Array.from({ length: rows }, (_, row) => halfOf(region, half, rows, d, row)));
  for (const half of halfStates) kernels.mergeState(state, half, rows, d);
  kernels.finishState(state, rows, d, outputs, d * 4);
  return Array.from({ length: rows }, (_, row) => {
    const total = logOf(readSum(views(), state + row * 8));
    const [a, b] = halves.map((half) => half[row]) as [Half, Half];
    const start = outputs / 4 + row * d;
    const output = views().f32.subarray(start, start + d);
    const norm = Math.sqrt(output.reduce((sum, x) => sum + x * x, 0));
    return {
      tailMass: Math.min(1, Math.exp(a.logSum - total) + Math.exp(b.logSum - total)),
      outputError: norm > 0 ? distanceOfHalves(a, b, output, total) / norm : Number.POSITIVE_INFINITY,
    };
  });
}

/** Notes the results of a block's rows; the bytes, which they read together, with the first. */
function note(
  { exchange, heads, group }: ThreadContext,
  job: Job,
  { first, rows, keyValueHead }: Block,
  bytesRead: number,
  resultOf: (row: number) => Omit<RowResult, 'bytesRead' | 'keysCoded'>,
): void {
  for (let row = 0; row < rows; row++) {
    const index = (first + Math.floor(row / group)) * heads + keyValueHead * group + (row % group);
    noteResult(exchange.views(), job, index, { ...resultOf(row), keysCoded: 0, bytesRead: row === 0 ? bytesRead : 0 });
  }
}
