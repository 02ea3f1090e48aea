/**
 * What the attention asks of its arithmetic. There are two implementations: `reference`, plain TypeScript that reads
 * like the papers and is the specification, and `wasm`, AssemblyScript with SIMD, which is tested against it. Both
 * work on the same memory, an arena, and name what lies there by byte addresses.
 *
 * Shapes: n keys, d the dimension of a head (a multiple of 8), rows the query rows. All numbers are float32 in
 * row-major order unless the encoding says otherwise. Buffers of rows have room for `rows` rounded up to 4.
 */

import type { BoundedKernels } from './bounded-kernels.ts';
import { ROW_MULTIPLE } from './constants.ts';
import { type ExactPrecision, PAGE_KEYS, type Pages, type Precision, rotatedDim } from './layout.ts';
import type { QuantizedKernels } from './quantized-kernels.ts';

export type { Pages } from './layout.ts';

/** A block of query rows that attend to the same key-value head. */
export interface QueryRows {
  /** Address of the rows (rows, d), scaled by 1 / sqrt(d). */
  address: number;
  rows: number;
  /** Query heads that share the key-value head: row r belongs to the query at position r / group, rounded down. */
  group: number;
  /** Keys that row 0 may see: row r sees the keys before limit + floor(r / group). */
  limit: number;
  /** Where it is given, a row sees only this many keys, the last of those before its limit. */
  window?: number | undefined;
  /** Where it is given, a score s becomes softCap tanh(s / softCap). */
  softCap?: number | undefined;
}

/** Arithmetic over the memory of one arena. */
export interface Kernels extends QuantizedKernels, BoundedKernels {
  readonly name: 'reference' | 'wasm';

  /**
   * Stores `count` floats (a multiple of 8) at `source` in a precision at `destination`. Returns false if one of them
   * is not finite, or too large for the precision; what was written is undefined then.
   */
  store(source: number, destination: number, count: number, precision: ExactPrecision): boolean;

  /**
   * Initializes the running softmax of `rows` rows, with no keys yet: statistics (rows, 2), the maximal score and the
   * sum of e^(score - max), then, from the next multiple of 16 bytes, outputs (rows, d), not yet divided by the sum.
   */
  initSoftmaxState(state: number, rows: number, headDim: number): void;

  /**
   * Adds the keys at positions [from, to) that each row may see to the state. `from` is the first key of a page; pages
   * that no row sees are not read.
   */
  attendFull(pages: Pages, from: number, to: number, queries: QueryRows, state: number, scratch: number): void;

  /** Adds the keys at the positions `indices` (count) of int32 to the state of one row. */
  attendSelected(pages: Pages, indices: number, count: number, query: number, state: number, scratch: number): void;

  /** Scores q . k of the keys at positions [from, to) for `rows` rows, into `scores` (rows, stride). */
  scoreKeys(
    pages: Pages,
    from: number,
    to: number,
    queries: number,
    rows: number,
    scores: number,
    stride: number,
    scratch: number,
  ): void;

  /**
   * Writes the positions of the k largest of `scores` (n), each plus `base`, in ascending order into `indices` (k) of
   * int32. Ties go to the earlier key. `scratch` has 16 KiB.
   */
  selectLargest(scores: number, n: number, k: number, base: number, indices: number, scratch: number): void;

  /** Adds n scores to a running log-sum-exp (2): the maximum, and the sum of e^(score - max). */
  updateLogSumExp(scores: number, n: number, statistics: number): void;

  /**
   * Divides query rows (rows, d) by sqrt(d), in place. Returns the largest of their norms, up to a few roundings;
   * infinity if a square overflows float32.
   */
  scaleQueries(queries: number, rows: number, headDim: number): number;

  /** Adds the keys of the state `other` to `state`. */
  mergeState(state: number, other: number, rows: number, headDim: number): void;

  /** Writes the outputs, divided by their sums, to `destination`, where rows lie `stride` bytes apart. */
  normalize(state: number, rows: number, headDim: number, destination: number, stride: number): void;
}

/** Rows that a buffer must hold for `rows` query rows. */
export const paddedRows = (rows: number): number => Math.ceil(rows / ROW_MULTIPLE) * ROW_MULTIPLE;

/** Bytes of a state of `rows` rows. */
export const stateBytes = (rows: number, headDim: number): number =>
  align16(rows * 8) + paddedRows(rows) * headDim * 4 + 64;

/** Address of the outputs (rows, d) in a state. */
export const stateOutputs = (state: number, rows: number): number => state + align16(rows * 8);

/** Bytes of scratch that suffice for every kernel over `rows` rows of a cache of this precision. */
export function scratchBytes(rows: number, headDim: number, precision: Precision = 'f16'): number {
  const d = rotatedDim(headDim);
  const page = 2 * PAGE_KEYS * d * 4;
  const baseBytes = page + paddedRows(rows) * (PAGE_KEYS * 4 + d * 2 + 4) + 16_384;
  // For `withInt8Rows`: a page as floats, its table and lists, rotated queries and a state.
  return precision === 'int8' ? baseBytes + page + 64 + 2 * PAGE_KEYS * 4 + 2 * stateBytes(rows, d) : baseBytes;
}

const align16 = (bytes: number): number => (bytes + 15) & ~15;
