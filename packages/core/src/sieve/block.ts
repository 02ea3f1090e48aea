/**
 * A block of consecutive positions of a prompt, all query heads of a GQA group together, which share one sample.
 *
 * The keys of the block itself and those shortly before it are attended in full. Of the earlier keys a sample is drawn
 * as for a single position, with the largest share that a key has for the mean of any of a few parts of the block; its
 * rows are gathered and multiplied as dense blocks, each key with the weight 1 / pi. Neighbouring positions need mostly
 * the same keys: a sample for a block is a few times that of one position, and serves all of its positions.
 */
import {
  countSinks,
  foldSegments,
  type GroupWork,
  type HeadSegment,
  limitKeys,
  listPartIn,
  logSumExp,
  primaryRegion,
  readStateSums,
  type ThreadRegion,
} from '../group/group-work.ts';
import {
  approximateLogSumExp,
  firstUnquantizedKey,
  prepareQuantizedQueries,
  scanAllKeys,
  signScanBytes,
  workScanFractionBits,
} from '../group/quantized-work.ts';
import type { Workspace } from '../group/workspace.ts';
import { HALF_SAMPLE_NUMBERS } from '../kernels/constants.ts';
import { rowBytes } from '../kernels/layout.ts';
import { scanStride } from '../kernels/quantized-kernels.ts';
import type { BlockFindings, BlockOfRows, BlockOutcome, BlockSample, BlockSampling } from '../selectors/selector.ts';
import { type FittedKeys, fitRows } from './block-fit.ts';
import {
  BLOCK_RECENT_KEYS,
  BLOCK_SAMPLE_KEYS_PER_BUDGET_KEY,
  MAX_BLOCK_SAMPLE_FRACTION,
  MAX_MEAN_QUERIES,
  PROPOSAL_EXPONENT,
  SINK_KEYS,
} from './constants.ts';

export const blockSampling: BlockSampling = {
  plan(limit, budgetOf, budgetFactor) {
    const pastKeys = Math.max(0, firstUnquantizedKey(limit - 1 - BLOCK_RECENT_KEYS));
    const keys = pastKeys === 0 ? 0 : budgetOf(pastKeys);
    const maxKeys = Math.ceil(BLOCK_SAMPLE_KEYS_PER_BUDGET_KEY * keys * budgetFactor);
    return maxKeys >= MAX_BLOCK_SAMPLE_FRACTION * pastKeys ? undefined : { pastKeys, maxKeys };
  },
  attend: attendBlock,
};

/** Attends with a block to a sample of the past keys, and to all keys from there to each row's own position. */
function attendBlock(work: GroupWork, block: BlockOfRows, { pastKeys, maxKeys }: BlockSample): BlockOutcome {
  const { rows, shape } = work;
  const { headDim } = shape;
  const { limit, groupSize } = block;
  const past = limitKeys(work, pastKeys);
  const fractionBits = proposeKeys(past, block);
  const fullFrom = firstUnquantizedKey(limit);
  const { drawn, parts } = drawSample(past, { maxKeys, seed: limit, fractionBits, fullFrom });
  const [certain, firstHalf, secondHalf] = parts;

  const gathered = attendListed(work, 0, certain, exactState);
  const gatheredSums = readStateSums(gathered, rows).map(logSumExp);
  const region = foldSegments(
    work.segments,
    rows,
    headDim,
    ({ region: { kernels, workspace }, pages, from, to }) => {
      if (to <= fullFrom) return;
      const { queries: address, state, scratch } = workspace;
      const queryRows = { address, rows, group: groupSize, limit };
      kernels.attendFull(pages, Math.max(from, fullFrom), to, queryRows, state, scratch);
    },
    exactState,
    gathered,
  );
  countSinks(work, region);
  attendListed(work, certain, firstHalf, ({ halfSampleStates }) => halfSampleStates[0]);
  attendListed(work, certain + firstHalf, secondHalf, ({ halfSampleStates }) => halfSampleStates[1]);

  const fitted = fitRows(past, drawn, fractionBits);
  const halfSampleErrors = mergeHalfSamples(region, rows, headDim);
  const sampledKeys = certain + firstHalf + secondHalf - (fullFrom - pastKeys);
  const exactBytes = (sampledKeys + work.n - pastKeys) * 2 * rowBytes(headDim, shape.precision);
  return {
    region,
    sampledKeys,
    bytesRead: signScanBytes(pastKeys, headDim, 0) + exactBytes,
    findings: findingsOf(work, fitted, halfSampleErrors, gatheredSums),
  };
}

const exactState = ({ state }: Workspace): number => state;

/**
 * Writes g of every past key to `pooled`: its largest tempered share for the mean of any of a few parts of the block. A
 * mean is flatter than any of its queries, but a scan for every query would take several times as long for a sample
 * that is little better. Returns the fractional bits of the shares.
 */
function proposeKeys(past: GroupWork, block: BlockOfRows): number {
  const { kernels, views, workspace } = primaryRegion(past);
  const { signScores, offsets, pooled } = workspace;
  const { n } = past;
  const fractionBits = workScanFractionBits(past);
  const means = { ...past, rows: loadMeanQueries(past, block) };
  prepareQuantizedQueries(means, meanQueriesIn);
  scanAllKeys(means, fractionBits);
  const logSums = Array.from({ length: means.rows }, (_, row) =>
    logSumExp(approximateLogSumExp(means, row, fractionBits)),
  );
  views().f32.set(logSums, offsets / 4);
  const stride = scanStride(n);
  kernels.maxOverHeads(signScores, stride, means.rows, n, fractionBits, offsets, PROPOSAL_EXPONENT, pooled, false);
  return fractionBits;
}

const meanQueriesIn = ({ meanQueries }: Workspace): number => meanQueries;

/**
 * Writes the means of runs of neighbouring queries, head by head, to `meanQueries` of every region: at most
 * MAX_MEAN_QUERIES runs, which make up the block. Returns how many rows they are.
 */
function loadMeanQueries({ segments, shape, rows }: GroupWork, { groupSize }: BlockOfRows): number {
  const queries = rows / groupSize;
  const width = groupSize * shape.headDim;
  const count = Math.min(MAX_MEAN_QUERIES, queries);
  for (const { region } of segments) {
    const { f32 } = region.views();
    const source = region.workspace.queries / 4;
    const target = region.workspace.meanQueries / 4;
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
  return count * groupSize;
}

interface BlockDraw {
  maxKeys: number;
  seed: number;
  fractionBits: number;
  /** Keys from the past ones to this one are attended with certainty. */
  fullFrom: number;
}

/**
 * Draws the sample of the past keys into `quantizedIndices`, with -ln pi of each key in `quantizedScores`: first the
 * keys of probability 1 and those up to `fullFrom`, then the others in two halves. Returns how many keys were drawn, and
 * how many each of the three has.
 */
function drawSample(
  past: GroupWork,
  { maxKeys, seed, fractionBits, fullFrom }: BlockDraw,
): { drawn: number; parts: [certain: number, firstHalf: number, secondHalf: number] } {
  const { kernels, views, workspace } = primaryRegion(past);
  const { indices, logProbabilities, quantizedIndices, quantizedScores } = workspace;
  const drawn = kernels.drawKeys({
    plan: { n: past.n, sinks: SINK_KEYS, recentFrom: past.n, maxKeys, seed },
    proposals: workspace.pooled,
    fractionBits,
    tables: workspace.drawTables,
    indices,
    logProbabilities,
    threshold: workspace.threshold,
    keyBlocks: workspace.drawBlocks,
    scratch: workspace.scratch,
  });
  const { f32, i32 } = views();
  const probabilities = f32.subarray(logProbabilities / 4, logProbabilities / 4 + drawn);
  let drawnWithCertainty = 0;
  for (let j = 0; j < drawn; j++) if (probabilities[j] === 0) drawnWithCertainty++;
  const others = drawn - drawnWithCertainty;
  const recentKeys = fullFrom - past.n;
  const certain = drawnWithCertainty + recentKeys;
  const [firstHalf, secondHalf] = [Math.ceil(others / 2), Math.floor(others / 2)];
  for (let j = 0; j < recentKeys; j++) {
    i32[quantizedIndices / 4 + drawnWithCertainty + j] = past.n + j;
    f32[quantizedScores / 4 + drawnWithCertainty + j] = 0;
  }
  const next = [0, certain, certain + firstHalf];
  let half = 1;
  for (let j = 0; j < drawn; j++) {
    const part = probabilities[j] === 0 ? 0 : half;
    if (part !== 0) half = 3 - half;
    const to = next[part] as number;
    next[part] = to + 1;
    i32[quantizedIndices / 4 + to] = i32[indices / 4 + j] as number;
    f32[quantizedScores / 4 + to] = -(probabilities[j] as number);
  }
  return { drawn, parts: [certain, firstHalf, secondHalf] };
}

/** Takes `count` of the listed keys, from number `first` of the list on, into a state. Returns the region of the state. */
function attendListed(
  work: GroupWork,
  first: number,
  count: number,
  stateOf: (workspace: Workspace) => number,
): ThreadRegion {
  const primary = primaryRegion(work);
  const { rows, shape, segments } = work;
  const listOf = ({ quantizedIndices }: Workspace) => quantizedIndices;
  const visit = (segment: HeadSegment): void => {
    const { region, pages } = segment;
    const { start, end, indices } = listPartIn(work, segment, listOf, first, count);
    if (end === start) return;
    const { queries, scratch, quantizedScores } = region.workspace;
    let biases = primary.workspace.quantizedScores + start * 4;
    if (region !== primary) {
      region.views().f32.set(primary.views().f32.subarray(biases / 4, biases / 4 + end - start), quantizedScores / 4);
      biases = quantizedScores;
    }
    const state = stateOf(region.workspace);
    region.kernels.attendGathered(pages, indices, end - start, biases, queries, rows, state, scratch);
  };
  return foldSegments(segments, rows, shape.headDim, visit, stateOf);
}

/** What is known of each row: of the keys that were not drawn, by its fit. */
function findingsOf(
  work: GroupWork,
  { keys, copies }: FittedKeys,
  halfSampleErrors: Float32Array,
  gatheredSums: readonly number[],
): BlockFindings[] {
  const { kernels, views, workspace } = primaryRegion(work);
  const { scanFits, scores, scratch } = workspace;
  const halfSamplesOf = (row: number) =>
    halfSampleErrors.subarray(HALF_SAMPLE_NUMBERS * row, HALF_SAMPLE_NUMBERS * (row + 1));
  const logTotals = gatheredSums.map((_, row) => halfSamplesOf(row)[4] as number);
  views().f32.set(logTotals, scores / 4);
  kernels.undrawnSquares(keys, copies, scanFits, logTotals.length, scores, scores, scratch);
  return gatheredSums.map((gatheredSum, row) => {
    const halfSamples = halfSamplesOf(row);
    const gathered = (halfSamples[0] as number) + Math.exp(gatheredSum - (logTotals[row] as number));
    const undrawnSquares = views().f32[scores / 4 + row] as number;
    return { halfSamples, undrawnSquares, gatheredShare: Math.min(1, gathered) };
  });
}

/** Merges the states into outputs, which take the place of the queries. Returns what the kernel says of each row. */
function mergeHalfSamples({ kernels, views, workspace }: ThreadRegion, rows: number, headDim: number): Float32Array {
  const { state, halfSampleStates, queries: outputs, halfSampleErrors } = workspace;
  const [firstHalf, secondHalf] = halfSampleStates;
  kernels.mergeHalfSamples(state, firstHalf, secondHalf, rows, headDim, outputs, halfSampleErrors);
  return views().f32.subarray(halfSampleErrors / 4, halfSampleErrors / 4 + HALF_SAMPLE_NUMBERS * rows);
}
