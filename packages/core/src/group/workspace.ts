/** The buffers of one thread in one region: everything that kernels need beside the pages, at fixed addresses. */

import type { Arena } from '../cache/arena.ts';
import {
  BOUND_BINS,
  BOUNDED_ROW_NUMBERS,
  HALF_SAMPLE_NUMBERS,
  SIEVE_RESULT_COUNTS,
  SIEVE_ROW_RESULTS,
} from '../kernels/constants.ts';
import { DRAW_TABLE_BYTES, writeDrawTables } from '../kernels/draw-tables.ts';
import { paddedRows, scratchBytes, stateBytes } from '../kernels/kernels.ts';
import { type Encoding, pagesFor, rotatedDim } from '../kernels/layout.ts';
import { quantizedQueryBytes, scanStride, scoreStride } from '../kernels/quantized-kernels.ts';
import { writeSieveBuffers } from '../kernels/structs.generated.ts';
import { PARAMETER_BYTES, structBytes } from '../kernels/structs.ts';

/**
 * Byte addresses in a region's arena. G is the size of a GQA group, D = `rotatedDim(d)`, and S = G * MAX_MEAN_QUERIES
 * the rows for which keys are scanned at once. Numbers are float32 unless said otherwise.
 */
export interface Workspace {
  // Every policy's.

  /** Query rows, scaled by 1 / sqrt(d): (rows, d). */
  queries: number;
  /** Softmax state of `rows` rows. */
  state: number;
  /** Room that the kernels use as they please. */
  scratch: number;
  /** Scores of all keys: (G, scoreStride); or of those by which a block is fitted: (rows, scoreStride(BLOCK_FIT_KEYS)). */
  scores: number;
  /** Positions of selected keys (capacity), int32. */
  indices: number;
  /** Running log-sum-exp (max, sum) of each row (G, 2). */
  softmaxStatistics: number;
  /** Normalized outputs, also rotated: (G, D). */
  outputs: number;
  /** One number a key, reduced over the rows (capacity). */
  pooled: number;
  /** Lower bounds on the scores of all keys for one row (capacity). */
  lowerBounds: number;
  /** Histograms of the upper bounds of each row: see `BoundedRows`. */
  boundHistograms: number;
  /** Numbers of each row's bounds: see `BoundedRows`. */
  boundNumbers: number;
  /** Softmax state of one row, for measuring: selected keys, and page means for the others. */
  rowState: number;
  /** Parameter blocks of the thread's kernels. */
  parameters: number;

  // Quantized keys and values.

  /** Query rows as `quantizeQueries` prepares them, S at once. */
  quantizedQuery: number;
  /** Scores of page centres: (S, pages of the capacity). */
  centerScores: number;
  /** Scores of all keys by their signs: (S, scanStride) of int16. */
  signScores: number;
  /** Positions of keys that are attended by their 4-bit values (capacity), int32. */
  quantizedIndices: number;
  /** Log-weights of these keys: (G, scoreStride). */
  quantizedScores: number;
  /** Softmax states of G rows of D numbers: of the keys drawn with certainty, and of two halves of the others. */
  quantizedStates: [number, number, number];

  // The sieve's.

  /** ln of the sum over all keys, of each row (S). */
  offsets: number;
  /** Cap on the log-weights of each row (G). */
  logWeightCaps: number;
  /** Threshold of a draw (1). */
  threshold: number;
  /** Keys of the three parts of a sample (3), int32. */
  sampleParts: number;
  /** ln of the probability of each selected key (capacity). */
  logProbabilities: number;
  /** Tables of `draw-tables.ts`. */
  drawTables: number;
  /** Blocks of keys that `drawKeys` lists. */
  drawBlocks: number;
  /** Means of neighbouring queries of a block: (S, d). */
  meanQueries: number;
  /** Softmax states of `rows` rows: two halves of the sample of a block. */
  halfSampleStates: [number, number];
  /** What `mergeHalfSamples` says of a block's rows: (rows, HALF_SAMPLE_NUMBERS). */
  halfSampleErrors: number;
  /** Fits of the rows' scores to a scan, from `fitScan`: (rows, 3). */
  scanFits: number;
  /** Page table of a part of a split step: (pages of the capacity), uint32. */
  partPageTable: number;
  /** Page table of a few pages, of which bounds are tried first: (SAMPLE_PAGES), uint32. */
  samplePageTable: number;
  /** Results of a step: see `SieveStates`. */
  results: number;
  /** The parameter block `SieveBuffers`. */
  sieveBuffers: number;
}

export interface WorkspaceSize {
  /** Query rows of one task, at most. */
  rows: number;
  /** G: query heads that share a key-value head. */
  groupSize: number;
  headDim: number;
  /** Keys, at most. */
  capacity: number;
  /** Encodings that the cache keeps. */
  encodings: readonly Encoding[];
}

/** Means of a block's queries for which the keys are scanned at once, at most: see `sieve/block.ts`. */
export const MAX_MEAN_QUERIES = 8;

/** Drawn keys that tell how the scores of a block's rows follow from the scan: see `sieve/block-fit.ts`. */
export const BLOCK_FIT_KEYS = 64;

/** Pages that are tried before all of them: see `sampleOfPages`. */
export const SAMPLE_PAGES = 6;

/** Bytes of each buffer; 0 for those that a cache without the encodings does not need. */
export function workspaceSizes(size: WorkspaceSize) {
  const { rows, groupSize, headDim, capacity, encodings } = size;
  const ifInt4 = (bytes: number) => (encodings.includes('int4') ? bytes : 0);
  const ifBounds = (bytes: number) => (encodings.includes('bounds') ? bytes : 0);
  const ifEither = (bytes: number) => ifInt4(bytes) || ifBounds(bytes);
  const keyBytes = (capacity + 8) * 4;
  const scannedRows = groupSize * (encodings.includes('int4') ? MAX_MEAN_QUERIES : 1);
  const quantizedState = ifInt4(stateBytes(groupSize, rotatedDim(headDim)));
  return {
    queries: paddedRows(rows) * headDim * 4,
    state: stateBytes(rows, headDim),
    // Kernels may dequantize rows wherever the cache has int8 values.
    scratch: scratchBytes(rows, headDim, encodings.includes('values') ? 'int8' : 'f16'),
    scores: Math.max(groupSize * scoreStride(capacity), ifInt4(rows * scoreStride(BLOCK_FIT_KEYS))) * 4,
    signScores: encodings.includes('sign') ? scannedRows * scanStride(capacity) * 2 : 0,
    indices: keyBytes,
    softmaxStatistics: groupSize * 8,
    offsets: scannedRows * 4,
    logWeightCaps: groupSize * 4,
    threshold: 4,
    sampleParts: 12,
    outputs: paddedRows(groupSize) * rotatedDim(headDim) * 4,
    quantizedQuery: encodings.includes('sign') ? quantizedQueryBytes(scannedRows, headDim) : 0,
    centerScores: encodings.includes('sign') ? scannedRows * pagesFor(capacity) * 4 : 0,
    pooled: keyBytes,
    logProbabilities: ifInt4(keyBytes),
    lowerBounds: ifBounds(keyBytes),
    boundHistograms: ifBounds(groupSize * BOUND_BINS * 4),
    boundNumbers: ifBounds(groupSize * BOUNDED_ROW_NUMBERS * 4),
    quantizedIndices: ifInt4(keyBytes),
    quantizedScores: ifEither(groupSize * scoreStride(capacity) * 4),
    quantizedStates: [quantizedState, quantizedState, quantizedState],
    meanQueries: ifInt4(scannedRows * headDim * 4),
    halfSampleStates: [ifInt4(stateBytes(rows, headDim)), ifInt4(stateBytes(rows, headDim))],
    halfSampleErrors: ifInt4(rows * HALF_SAMPLE_NUMBERS * 4),
    scanFits: ifInt4(rows * 12),
    rowState: stateBytes(1, headDim),
    drawTables: ifInt4(DRAW_TABLE_BYTES),
    drawBlocks: ifInt4((Math.ceil(capacity / 8) + 1) * 8),
    samplePageTable: ifBounds(SAMPLE_PAGES * 4),
    partPageTable: ifEither(pagesFor(capacity) * 4),
    results: ifInt4((SIEVE_RESULT_COUNTS + SIEVE_ROW_RESULTS * groupSize) * 4),
    sieveBuffers: ifInt4(structBytes('SieveBuffers')),
    parameters: PARAMETER_BYTES,
  } satisfies Record<keyof Workspace, number | number[]>;
}

/** Allocates a workspace; undefined if the arena has no room. */
export function allocateWorkspace(arena: Arena, size: WorkspaceSize): Workspace | undefined {
  const allocate = (bytes: number) => (bytes === 0 ? 0 : arena.allocate(bytes));
  const entries = Object.entries(workspaceSizes(size)).map(([name, bytes]) => [
    name,
    Array.isArray(bytes) ? bytes.map(allocate) : allocate(bytes),
  ]);
  if (entries.flat(2).includes(undefined)) return undefined;
  const workspace = Object.fromEntries(entries) as Workspace;
  if (workspace.drawTables !== 0) initializeSieveBuffers(arena, workspace);
  return workspace;
}

/** Writes the tables and addresses that the sieve's kernels read. */
function initializeSieveBuffers(arena: Arena, workspace: Workspace): void {
  writeDrawTables(arena.views().u32.buffer, workspace.drawTables);
  const [certainState, firstHalfState, secondHalfState] = workspace.quantizedStates;
  const buffers = { ...workspace, certainState, firstHalfState, secondHalfState };
  writeSieveBuffers(arena.views(), workspace.sieveBuffers, buffers);
}
