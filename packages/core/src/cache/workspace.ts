/**
 * The buffers of one thread in one region: everything that a kernel needs beside the pages, at fixed addresses.
 */
import { codeQueryBytes, SIEVE_BUFFERS, SIEVE_COUNTS, SIEVE_ROW, scanStride } from '../kernels/code-kernels.ts';
import { DRAW_TABLE_BYTES, writeDrawTables } from '../kernels/draw-tables.ts';
import { paddedRows, scratchBytes, stateBytes } from '../kernels/kernels.ts';
import { codeDim, type Plane, pagesFor } from '../kernels/layout.ts';
import type { Arena } from './arena.ts';

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
  scans: number;
  /** Positions of selected keys (capacity), int32. */
  indices: number;
  /** Softmax sums: the largest score, and the sum of e^(score - largest), of each row (G, 2). */
  statistics: number;
  /** A number for each row whose keys are scanned. */
  offsets: number;
  /** A number for each row (G). */
  caps: number;
  /** The threshold of a sample (1). */
  threshold: number;
  /** How many keys the parts of a sample have (3), int32. */
  parts: number;
  /** Finished outputs, or means of values: (G, d). */
  outputs: number;
  /** Rotated queries and their codes, for the kernels: one `CodeQuery` of the rows that are scanned at once. */
  codeQuery: number;
  /** Scores of page centres: a row for each that is scanned, (pages of the capacity). */
  bases: number;
  /** One number a key, pooled over the rows (capacity). */
  pooled: number;
  /** ln of the probability that each selected key was drawn (capacity). */
  logProbabilities: number;
  /** Lower bounds on the scores of all keys for one row (capacity). */
  lowerBounds: number;
  /** Positions of keys that are attended by their codes (capacity), int32. */
  codedIndices: number;
  /** Their log-weights: (G, scoreStride). */
  codedScores: number;
  /** Softmax states of G rows of D numbers: the keys that were drawn for certain, and two halves of the others. */
  codedStates: [number, number, number];
  /** Means of neighbouring queries of a block: (scanned at once, d). */
  means: number;
  /** Softmax states of `rows` rows: two halves of a sample that a block of queries shares. */
  halfStates: [number, number];
  /** Of each row of a block: what `mergeHalves` tells (rows, 3). */
  errors: number;
  /** A softmax state of one row, for measuring: some keys, and page means for the others. */
  rowState: number;
  /** What `drawKeys` looks up, see `draw-tables.ts`. */
  drawTables: number;
  /** What it lists on its way. */
  groups: number;
  /** The pages of a part of a step: (pages of the capacity), uint32. */
  partTable: number;
  /** What `sieve` returns beside the outputs. */
  results: number;
  /** The addresses of its buffers, uint32. */
  sieveBuffers: number;
}

export interface WorkspaceSize {
  /** Most query rows of one task. */
  rows: number;
  /** G */
  group: number;
  headDim: number;
  /** Most keys. */
  capacity: number;
  /** Those of the cache. */
  planes: readonly Plane[];
}

/** Parts of a block of queries whose means the keys are scanned for, at most. */
export const SCANNED_MEANS = 8;

/** Numbers from one row of scores to the next. */
export const scoreStride = (capacity: number): number => (capacity + 11) & ~3;

/** Bytes of each buffer; 0 for those that a cache without codes does not need. */
export function workspaceSizes({ rows, group, headDim, capacity, planes }: WorkspaceSize) {
  const coded = (bytes: number) => (planes.includes('int4') ? bytes : 0);
  const keys = (capacity + 8) * 4;
  const scanned = group * (planes.includes('int4') ? SCANNED_MEANS : 1);
  const codedState = coded(stateBytes(group, codeDim(headDim)));
  return {
    queries: paddedRows(rows) * headDim * 4,
    state: stateBytes(rows, headDim),
    // Rows are read by their int8 codes in an int8 cache, and wherever values have such codes.
    scratch: scratchBytes(rows, headDim, planes.includes('values') ? 'int8' : 'f16'),
    scores: group * scoreStride(capacity) * 4,
    scans: planes.includes('sign') ? scanned * scanStride(capacity) * 2 : 0,
    indices: keys,
    statistics: group * 8,
    offsets: scanned * 4,
    caps: group * 4,
    threshold: 4,
    parts: 12,
    outputs: paddedRows(group) * codeDim(headDim) * 4,
    codeQuery: planes.includes('sign') ? codeQueryBytes(scanned, headDim) : 0,
    bases: planes.includes('sign') ? scanned * pagesFor(capacity) * 4 : 0,
    pooled: keys,
    logProbabilities: coded(keys),
    lowerBounds: planes.includes('int8') ? keys : 0,
    codedIndices: coded(keys),
    codedScores: coded(group * scoreStride(capacity) * 4),
    codedStates: [codedState, codedState, codedState],
    means: coded(scanned * headDim * 4),
    halfStates: [coded(stateBytes(rows, headDim)), coded(stateBytes(rows, headDim))],
    errors: coded(rows * 12),
    rowState: stateBytes(1, headDim),
    drawTables: coded(DRAW_TABLE_BYTES),
    groups: coded((Math.ceil(capacity / 8) + 1) * 8),
    partTable: coded(pagesFor(capacity) * 4),
    results: coded((SIEVE_COUNTS + SIEVE_ROW * group) * 4),
    sieveBuffers: coded(SIEVE_BUFFERS.length * 4),
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
  if (workspace.drawTables !== 0) writeSieveBuffers(arena, workspace);
  return workspace;
}

/** Writes what the kernels of the sieve find in memory. */
function writeSieveBuffers(arena: Arena, workspace: Workspace): void {
  const { u32 } = arena.views();
  writeDrawTables(u32.buffer, workspace.drawTables);
  const [certainState, oneState, otherState] = workspace.codedStates;
  const addresses = { ...workspace, certainState, oneState, otherState };
  u32.set(
    SIEVE_BUFFERS.map((name) => addresses[name]),
    workspace.sieveBuffers / 4,
  );
}
