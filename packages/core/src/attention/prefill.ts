/**
 * Sparse attention of a prompt: one sample of the keys for a block of consecutive queries, all their heads together.
 * A task has one block and one key-value head.
 *
 * The keys of the block itself and the ones shortly before it are attended densely. Of the others a sample is drawn, as
 * the sieve draws one for a single position, with the largest share that a key has for the mean of any of a few parts of
 * the block; its rows are gathered and multiplied as dense blocks, each key with the weight 1 / pi. Neighbours share
 * keys: a sample for the block is a few times that of one position, where it serves 64.
 */

import {
  foldSegments,
  type GroupWork,
  type HeadSegment,
  listPartIn,
  logSumExp,
  primaryRegion,
  type ThreadRegion,
} from '../group/group-work.ts';
import {
  approximateLogSumExp,
  firstUnquantizedKey,
  prepareQuantizedQueries,
  scanAllKeys,
  workScanFractionBits,
} from '../group/quantized-work.ts';
import { MAX_MEAN_QUERIES, type Workspace } from '../group/workspace.ts';
import { rotatedDim, rowBytes } from '../kernels/layout.ts';
import { scanStride } from '../kernels/quantized-kernels.ts';
import type { SparsePolicy } from '../policies/policy.ts';
import type { BlockSampling } from '../selectors/selector.ts';
import { BLOCK_ERROR_NUMBERS } from '../sieve/head-budget-allocator.ts';
import { attendFullBlock, loadBlock, type QueryBlock, queryBlockOf, storeBlockOutputs } from './full.ts';
import type { Job } from './job.ts';
import { type RowResult, writeRowResult } from './row-result.ts';
import { headSegments, type ThreadContext } from './thread.ts';

/** Keys before the block that are attended densely, at least. */
const PREFILL_RECENT_KEYS = 128;
/** A sample of more than this share of the keys costs more than it saves. */
const MAX_PREFILL_SAMPLE_SHARE = 0.75;

export function sampledBlockTask(thread: ThreadContext, job: Job, task: number): void {
  const block = queryBlockOf(thread, job, task);
  const { budget, selector } = thread.policies[job.policy] as SparsePolicy;
  const pastKeys = Math.max(0, firstUnquantizedKey(block.limit - 1 - PREFILL_RECENT_KEYS));
  const head = block.keyValueHead * thread.groupSize;
  const keys = pastKeys === 0 ? 0 : budget.keys({ n: pastKeys, layer: job.layer, head });
  const blockSampling = selector.blockSampling as BlockSampling;
  const maxSampleKeys = Math.ceil(blockSampling.sampleSize(keys) * (job.budgetFactors[block.keyValueHead] as number));
  const blockErrors =
    maxSampleKeys >= MAX_PREFILL_SAMPLE_SHARE * pastKeys
      ? attendBlockFully(thread, job, block)
      : attendBlockSampled(thread, job, block, pastKeys, maxSampleKeys, blockSampling.proposalExponent);
  thread.jobMemory.views().f32.set(blockErrors, job.blockErrors / 4 + task * BLOCK_ERROR_NUMBERS);
}

/** What a block leaves for `Shares`. */
type BlockErrors = [squaredError: number, squaredOutput: number];

function attendBlockFully(thread: ThreadContext, job: Job, block: QueryBlock): BlockErrors {
  const { shape } = thread;
  attendFullBlock(thread, job, block);
  const bytes = 2 * block.n * rowBytes(shape.headDim, shape.precision);
  writeBlockResults(thread, job, block, bytes, (row, bytesRead) => ({
    keysExact: block.limit + Math.floor(row / thread.groupSize),
    keysQuantized: 0,
    keysNeeded: 0,
    bytesRead,
    tailMass: 0,
    outputError: 0,
    kind: 'certified',
    outcome: 'full',
  }));
  return [0, 0];
}

function attendBlockSampled(
  thread: ThreadContext,
  job: Job,
  block: QueryBlock,
  pastKeys: number,
  maxSampleKeys: number,
  proposalExponent: number,
): BlockErrors {
  const { shape, groupSize } = thread;
  const { headDim } = shape;
  const { rows, limit, n, keyValueHead } = block;
  const maxQueryNorm = loadBlock(thread, job, block);
  const work: GroupWork = {
    shape,
    layer: job.layer,
    head: keyValueHead * groupSize,
    rows,
    n: pastKeys,
    segments: headSegments(thread, job.segments, job.layer, keyValueHead, 0, pastKeys),
    queryNorms: [maxQueryNorm],
    maxKeyNorm: job.norms[3 * keyValueHead] as number,
    maxValueNorm: 0,
    rmsValueNorm: 0,
  };
  const bits = poolProposals(work, block, proposalExponent);
  const blockFrom = firstUnquantizedKey(limit);
  const parts = drawSample(work, maxSampleKeys, limit, bits, blockFrom);

  const segments = headSegments(thread, job.segments, job.layer, keyValueHead, 0, n);
  const blockWork = { ...work, n, segments };
  const region = attendSamplePart(
    blockWork,
    0,
    parts[0],
    exactState,
    ({ region: { kernels, workspace }, pages, from, to }) => {
      if (to <= blockFrom) return;
      const { queries: address, state, scratch } = workspace;
      kernels.attendFull(
        pages,
        Math.max(from, blockFrom),
        to,
        { address, rows, group: groupSize, limit },
        state,
        scratch,
      );
    },
  );
  attendSamplePart(blockWork, parts[0], parts[1], ({ halfSampleStates }) => halfSampleStates[0]);
  attendSamplePart(blockWork, parts[0] + parts[1], parts[2], ({ halfSampleStates }) => halfSampleStates[1]);

  const halfSampleErrors = mergeHalfSamples(region, rows, headDim);
  storeBlockOutputs(thread, job, block, region);
  const drawnKeys = parts[0] + parts[1] + parts[2] - (blockFrom - pastKeys);
  const scanned = (pastKeys / 64) * (64 * (rotatedDim(headDim) / 8 + 2) + rotatedDim(headDim) + 4);
  const bytesPerKey = 2 * rowBytes(headDim, shape.precision);
  writeBlockResults(thread, job, block, scanned + (drawnKeys + n - pastKeys) * bytesPerKey, (row, bytesRead) => ({
    keysExact: drawnKeys + limit - pastKeys + Math.floor(row / groupSize),
    keysQuantized: 0,
    keysNeeded: 0,
    bytesRead,
    ...rowErrors(halfSampleErrors, row),
    kind: 'estimated',
    outcome: 'asSelected',
  }));
  const blockErrors: BlockErrors = [0, 0];
  for (let at = 0; at < halfSampleErrors.length; at += 3) {
    blockErrors[0] += halfSampleErrors[at + 1] as number;
    blockErrors[1] += halfSampleErrors[at + 2] as number;
  }
  return blockErrors;
}

const exactState = ({ state }: Workspace): number => state;

/**
 * The largest tempered share of every key, into `pooled`, for the mean of any of some parts of the block. A mean is
 * flatter than any of its queries, but a scan of every query would take several times as long for a sample that is little
 * better. Returns the binary digits of the shares.
 */
function poolProposals(work: GroupWork, block: QueryBlock, proposalExponent: number): number {
  const { kernels, views, workspace } = primaryRegion(work);
  const { signScores, offsets, pooled } = workspace;
  const { n } = work;
  const bits = workScanFractionBits(work);
  const meanWork = { ...work, rows: loadMeanQueries(work, block) };
  prepareQuantizedQueries(meanWork, meanQueriesIn);
  scanAllKeys(meanWork, bits);
  const logSums = Array.from({ length: meanWork.rows }, (_, row) =>
    logSumExp(approximateLogSumExp(meanWork, row, bits)),
  );
  views().f32.set(logSums, offsets / 4);
  kernels.maxOverHeads(signScores, scanStride(n), meanWork.rows, n, bits, offsets, proposalExponent, pooled, false);
  return bits;
}

const meanQueriesIn = ({ meanQueries }: Workspace): number => meanQueries;

/**
 * Puts the means of some neighbouring queries, which make up the block together, head by head, into `means` of every
 * region. Returns how many rows they are.
 */
function loadMeanQueries({ segments, shape }: GroupWork, { queries, rows }: QueryBlock): number {
  const width = (rows / queries) * shape.headDim;
  const count = Math.min(MAX_MEAN_QUERIES, queries);
  for (const { region } of segments) {
    const { f32 } = region.views();
    const source = region.workspace.queries / 4;
    const target = region.workspace.meanQueries / 4;
    for (let meanIndex = 0; meanIndex < count; meanIndex++) {
      const from = Math.floor((meanIndex * queries) / count);
      const to = Math.floor(((meanIndex + 1) * queries) / count);
      for (let i = 0; i < width; i++) {
        let sum = 0;
        for (let query = from; query < to; query++) sum += f32[source + query * width + i] as number;
        f32[target + meanIndex * width + i] = sum / (to - from);
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
  work: GroupWork,
  maxSampleKeys: number,
  drawOffset: number,
  bits: number,
  certainEnd: number,
): [number, number, number] {
  const { kernels, views, workspace } = primaryRegion(work);
  const { pooled, drawTables, indices, logProbabilities, threshold, drawBlocks, scratch } = workspace;
  const { quantizedIndices, quantizedScores } = workspace;
  const plan = { n: work.n, sinks: 4, recentFrom: work.n, maxKeys: maxSampleKeys, seed: drawOffset };
  const lists = [indices, logProbabilities, threshold, drawBlocks] as const;
  const drawn = kernels.drawKeys(pooled, plan, bits, drawTables, ...lists, scratch);
  const { f32, i32 } = views();
  const probabilities = f32.subarray(logProbabilities / 4, logProbabilities / 4 + drawn);
  let certain = 0;
  for (let j = 0; j < drawn; j++) if (probabilities[j] === 0) certain++;
  const others = drawn - certain;
  const recent = certainEnd - work.n;
  const parts: [number, number, number] = [certain + recent, Math.ceil(others / 2), Math.floor(others / 2)];
  for (let j = 0; j < recent; j++) {
    i32[quantizedIndices / 4 + certain + j] = work.n + j;
    f32[quantizedScores / 4 + certain + j] = 0;
  }
  const next = [0, parts[0], parts[0] + parts[1]];
  let half = 1;
  for (let j = 0; j < drawn; j++) {
    const part = probabilities[j] === 0 ? 0 : half;
    if (part !== 0) half = 3 - half;
    const at = next[part] as number;
    next[part] = at + 1;
    i32[quantizedIndices / 4 + at] = i32[indices / 4 + j] as number;
    f32[quantizedScores / 4 + at] = -(probabilities[j] as number);
  }
  return parts;
}

/** Takes one part of the coded list into a state, and what `visit` adds of each segment. */
function attendSamplePart(
  work: GroupWork,
  first: number,
  count: number,
  stateOf: (workspace: Workspace) => number,
  visit: (segment: HeadSegment) => void = () => {},
): ThreadRegion {
  const primary = primaryRegion(work);
  const { rows, shape, segments } = work;
  return foldSegments(
    segments,
    rows,
    shape.headDim,
    (segment) => {
      visit(segment);
      const { region, pages } = segment;
      const { start, end, indices } = listPartIn(
        work,
        segment,
        ({ quantizedIndices }) => quantizedIndices,
        first,
        count,
      );
      if (end === start) return;
      const { queries, scratch, quantizedScores } = region.workspace;
      let biases = primary.workspace.quantizedScores + start * 4;
      if (region !== primary) {
        region.views().f32.set(primary.views().f32.subarray(biases / 4, biases / 4 + end - start), quantizedScores / 4);
        biases = quantizedScores;
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
function mergeHalfSamples({ kernels, views, workspace }: ThreadRegion, rows: number, d: number): Float32Array {
  const { state, halfSampleStates, queries: outputs, halfSampleErrors } = workspace;
  kernels.mergeHalfSamples(state, ...halfSampleStates, rows, d, outputs, halfSampleErrors);
  return views().f32.subarray(halfSampleErrors / 4, halfSampleErrors / 4 + 3 * rows);
}

function rowErrors(halfSampleErrors: Float32Array, row: number): Pick<RowResult, 'tailMass' | 'outputError'> {
  const [mass, squaredError, squaredOutput] = [
    halfSampleErrors[3 * row],
    halfSampleErrors[3 * row + 1],
    halfSampleErrors[3 * row + 2],
  ] as [number, number, number];
  const outputError = squaredOutput > 0 ? Math.sqrt(squaredError / squaredOutput) : Number.POSITIVE_INFINITY;
  return { tailMass: Math.min(1, mass), outputError };
}

/** Notes the results of a block's rows; the bytes, which they read together, with the first. */
function writeBlockResults(
  { jobMemory, heads, groupSize }: ThreadContext,
  job: Job,
  { first, rows, keyValueHead }: QueryBlock,
  bytesRead: number,
  resultOf: (row: number, bytesRead: number) => RowResult,
): void {
  const views = jobMemory.views();
  for (let row = 0; row < rows; row++) {
    const index = (first + Math.floor(row / groupSize)) * heads + keyValueHead * groupSize + (row % groupSize);
    writeRowResult(views, job, index, resultOf(row, row === 0 ? bytesRead : 0));
  }
}
