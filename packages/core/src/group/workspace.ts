/**
 * The buffers of one thread in one region: everything that a kernel needs beside the pages, at fixed addresses.
 */

import type { Arena } from '../cache/arena.ts';
import { SIEVE_RESULT_COUNTS, SIEVE_ROW_RESULTS } from '../kernels/constants.ts';
import { DRAW_TABLE_BYTES, writeDrawTables } from '../kernels/draw-tables.ts';
import { paddedRows, scratchBytes, stateBytes } from '../kernels/kernels.ts';
import { type Encoding, pagesFor, rotatedDim } from '../kernels/layout.ts';
import { quantizedQueryBytes, scanStride, scoreStride } from '../kernels/quantized-kernels.ts';
import { writeSieveBuffers } from '../kernels/structs.generated.ts';
import { PARAMETER_BYTES, structBytes } from '../kernels/structs.ts';

/** Byte addresses in a region's arena. G is the number of query heads that share a key-value head. */
export interface Workspace {
  /** Query rows, scaled by 1 / sqrt(d): (rows, d). */
  queries: number;
  /** A softmax state of `rows` rows. */
  state: number;
  /** Room that the kernels use as they please. */
  scratch: number;
  /** Scores of all keys: (G, scoreStride). */
  scores: number;
  /** Scores of all keys by their signs: (SCANNED_MEANS * G, scanStride) of int16. */
  signScores: number;
  /** Positions of selected keys (capacity), int32. */
  indices: number;
  /** Softmax sums: the largest score, and the sum of e^(score - largest), of each row (G, 2). */
  softmaxStatistics: number;
  /** A number for each row whose keys are scanned. */
  offsets: number;
  /** A number for each row (G). */
  logWeightCaps: number;
  /** The threshold of a sample (1). */
  threshold: number;
  /** How many keys the parts of a sample have (3), int32. */
  sampleParts: number;
  /** Finished outputs, or means of values: (G, d). */
  outputs: number;
  /** Rotated queries and their codes, for the kernels: one `CodeQuery` of the rows that are scanned at once. */
  quantizedQuery: number;
  /** Scores of page centres: a row for each that is scanned, (pages of the capacity). */
  centerScores: number;
  /** One number a key, pooled over the rows (capacity). */
  pooled: number;
  /** ln of the probability that each selected key was drawn (capacity). */
  logProbabilities: number;
  /** Lower bounds on the scores of all keys for one row (capacity). */
  lowerBounds: number;
  /** Positions of keys that are attended by their codes (capacity), int32. */
  quantizedIndices: number;
  /** Their log-weights: (G, scoreStride). */
  quantizedScores: number;
  /** Softmax states of G rows of D numbers: the keys that were drawn for certain, and two halves of the others. */
  quantizedStates: [number, number, number];
  /** Means of neighbouring queries of a block: (scanned at once, d). */
  meanQueries: number;
  /** Softmax states of `rows` rows: two halves of a sample that a block of queries shares. */
  halfSampleStates: [number, number];
  /** Of each row of a block: what `mergeHalves` tells (rows, 3). */
  halfSampleErrors: number;
  /** A softmax state of one row, for measuring: some keys, and page means for the others. */
  rowState: number;
  /** What `drawKeys` looks up, see `draw-tables.ts`. */
  drawTables: number;
  /** What it lists on its way. */
  drawBlocks: number;
  /** The pages of a part of a step: (pages of the capacity), uint32. */
  partPageTable: number;
  /** What `sieve` returns beside the outputs. */
  results: number;
  /** The parameter block `SieveBuffers`, for `sieve`. */
  sieveBuffers: number;
  /** Parameter blocks of the thread's kernels. */
  parameters: number;
}

export interface WorkspaceSize {
  /** Most query rows of one task. */
  rows: number;
  /** G */
  groupSize: number;
  headDim: number;
  /** Most keys. */
  capacity: number;
  /** Those of the cache. */
  encodings: readonly Encoding[];
}

/** Means of a block's queries for which the keys are scanned at once, at most: see `sieve/block.ts`. */
export const MAX_MEAN_QUERIES = 8;

/** Bytes of each buffer; 0 for those that a cache without codes does not need. */
export function workspaceSizes(size: WorkspaceSize) {
  const { rows, groupSize, headDim, capacity, encodings } = size;
  const ifInt4 = (bytes: number) => (encodings.includes('int4') ? bytes : 0);
  const keyBytes = (capacity + 8) * 4;
  const scannedRows = groupSize * (encodings.includes('int4') ? MAX_MEAN_QUERIES : 1);
  const quantizedState = ifInt4(stateBytes(groupSize, rotatedDim(headDim)));
  return {
    queries: paddedRows(rows) * headDim * 4,
    state: stateBytes(rows, headDim),
    // Rows are read by their int8 codes in an int8 cache, and wherever values have such codes.
    scratch: scratchBytes(rows, headDim, encodings.includes('values') ? 'int8' : 'f16'),
    scores: groupSize * scoreStride(capacity) * 4,
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
    lowerBounds: encodings.includes('int8') ? keyBytes : 0,
    quantizedIndices: ifInt4(keyBytes),
    quantizedScores: ifInt4(groupSize * scoreStride(capacity) * 4),
    quantizedStates: [quantizedState, quantizedState, quantizedState],
    meanQueries: ifInt4(scannedRows * headDim * 4),
    halfSampleStates: [ifInt4(stateBytes(rows, headDim)), ifInt4(stateBytes(rows, headDim))],
    halfSampleErrors: ifInt4(rows * 12),
    rowState: stateBytes(1, headDim),
    drawTables: ifInt4(DRAW_TABLE_BYTES),
    drawBlocks: ifInt4((Math.ceil(capacity / 8) + 1) * 8),
    partPageTable: ifInt4(pagesFor(capacity) * 4),
    results: ifInt4((SIEVE_RESULT_COUNTS + SIEVE_ROW_RESULTS * groupSize) * 4),
    sieveBuffers: ifInt4(structBytes('SieveBuffers')),
    parameters: PARAMETER_BYTES,
  } satisfies Record<keyof Workspace, number | number[]>;
}

/** Takes a workspace from an arena; undefined where it has no room. */
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

/** Writes what the kernels of the sieve find in memory. */
function initializeSieveBuffers(arena: Arena, workspace: Workspace): void {
  writeDrawTables(arena.views().u32.buffer, workspace.drawTables);
  const [certainState, firstHalfState, secondHalfState] = workspace.quantizedStates;
  const buffers = { ...workspace, certainState, firstHalfState, secondHalfState };
  writeSieveBuffers(arena.views(), workspace.sieveBuffers, buffers);
}
