/**
 * How keys and values lie in memory, which kernels and cache agree on. A page is 64 consecutive keys, the unit of
 * allocation, of summaries and of saving. The page of one head is a record: its exact rows, then the planes that the
 * cache keeps of them, each at its own offset. The exact rows are written key by key; the other planes all at once,
 * when the page is full, and never again.
 */

import { PAGE_KEYS, ROTATION_MULTIPLE } from './constants.ts';

export { PAGE_KEYS };

/** How rows that are kept as they came are stored: IEEE 754 binary16, or binary32. */
export type ExactPrecision = 'f16' | 'f32';

export const EXACT_PRECISIONS: readonly ExactPrecision[] = ['f16', 'f32'];

/**
 * How a cache keeps its keys and values: as they came, or, `int8`, full pages by their codes alone. The row of a key in
 * such a page is what its codes stand for, R^T (c + y8), and that of a value R^T z8; a page that is not full yet lies
 * elsewhere, as f32.
 */
export type Precision = ExactPrecision | 'int8';

export const PRECISIONS: readonly Precision[] = [...EXACT_PRECISIONS, 'int8'];

/**
 * The planes beside the exact one. With y = R (k - c), where R is a fixed rotation (`rotation.ts`) into D = `codeDim`
 * dimensions and c the page's own centre, as it is stored:
 *
 * - `sign`: the signs of y, a factor f = ||y||^2 / ||y||_1 that makes f <q, sign y> an estimate of <q, y> (RaBitQ,
 *   arXiv 2405.12497), and c.
 * - `int4`: y and R v as codes of 4 bits, with a step each.
 * - `int8`: the lower 4 bits that make the codes of y int8, and a bound on their error ||y - y8||.
 * - `values`: the lower 4 bits that make the codes of R v int8.
 * - `summary`: the mean key and the mean value of the page, and the radius of the values round their mean.
 * - `minMax`: the smallest and the largest number of each dimension over 16 keys (Quest, arXiv 2406.10774).
 *
 * `int8` and `values` stand on `int4`, and `int4` on `sign`.
 */
export const ENCODINGS = ['sign', 'int4', 'int8', 'values', 'summary', 'minMax'] as const;
export type Encoding = (typeof ENCODINGS)[number];

/** The planes that each stands on. */
export const ENCODING_BASES: Readonly<Record<Encoding, readonly Encoding[]>> = {
  sign: [],
  int4: ['sign'],
  int8: ['sign', 'int4'],
  values: ['sign', 'int4'],
  summary: [],
  minMax: [],
};

/** Keys of one box. */
export const MIN_MAX_KEYS = 16;

/** Pages that hold n keys. */
export const pagesFor = (n: number): number => Math.ceil(n / PAGE_KEYS);

/** D: the dimensions of a rotated row, d rounded up to a multiple of 32. */
export const rotatedDim = (headDim: number): number => Math.ceil(headDim / ROTATION_MULTIPLE) * ROTATION_MULTIPLE;

/** Bytes that are read for one row, of a key or of a value: d numbers, or D codes and their step. */
export function rowBytes(headDim: number, precision: Precision): number {
  if (precision === 'int8') return rotatedDim(headDim) + 2;
  return headDim * (precision === 'f16' ? 2 : 4);
}

/** Bytes of a key or of a value of 4 bits, and its step. */
export const quantizedRowBytes = (headDim: number): number => rotatedDim(headDim) / 2 + 2;

/** Bytes of the centres of the whole pages of n keys, with their steps: what scores by any codes begin with. */
export const centreBytes = (n: number, headDim: number): number =>
  Math.floor(n / PAGE_KEYS) * (rotatedDim(headDim) + 4);

/** Bytes of the exact rows of one head's page: keys and values. */
export const exactPageBytes = (headDim: number, precision: Precision): number =>
  precision === 'int8' ? 0 : 2 * PAGE_KEYS * rowBytes(headDim, precision);

/**
 * Bytes of a plane's part of a page, whose contents are, in this order:
 *
 * - sign: signs (4, D / 8, 16) of uint8: bit b of number [g][t][2 i + h] is set where dimension 8 t + b of key
 *   16 g + 8 h + i is negative; factors (64) of int16, in 32,767 parts of the largest; centre (D) of int8; its step and
 *   the largest factor, float32, and 8 bytes that are not used.
 * - int4: rows (64, D) of uint8, of each row first the key's D / 2 numbers and then the value's. The lower four bits
 *   of number i of a half are the code of dimension i, the upper four that of dimension D / 2 + i. Then the steps
 *   (64, 2), of key and value, of `upper16`.
 * - int8: rows (64, D / 2) of uint8, as the keys' halves of int4; then the bounds (64) of `upper16`.
 * - values: rows (64, D / 2) of uint8, as the values' halves of int4.
 * - summary: mean key (d) of float32, mean value (d) of float32, radius of float32, and 12 bytes that are not used.
 * - minMax: (4, 2, d) of float32: of 16 keys each the smallest numbers, then the largest.
 */
export const encodingBytes = (encoding: Encoding, headDim: number): number => {
  const d = rotatedDim(headDim);
  switch (encoding) {
    case 'sign':
      return PAGE_KEYS * (d / 8 + 2) + d + 16;
    case 'int4':
      return PAGE_KEYS * (d + 4);
    case 'int8':
      return PAGE_KEYS * (d / 2 + 2);
    case 'values':
      return (PAGE_KEYS * d) / 2;
    case 'summary':
      return 2 * headDim * 4 + 16;
    case 'minMax':
      return (PAGE_KEYS / MIN_MAX_KEYS) * 2 * headDim * 4;
  }
};

/** Offsets of the planes from the beginning of a head's page, in bytes; 0 where the cache does not keep the plane. */
export type EncodingOffsets = Readonly<Record<Encoding, number>>;

/** The record of one head's page. */
export interface PageLayout extends EncodingOffsets {
  /** d */
  readonly headDim: number;
  readonly precision: Precision;
  /** Bytes of the record, a multiple of 64. */
  readonly bytes: number;
}

/** The keys of one key-value head, as they lie in one arena. */
export interface Pages extends PageLayout {
  /** Address of the page table (pages) of uint32: where the page of the first head lies. */
  readonly table: number;
  /** Bytes from the first head's part of a page to this head's. */
  readonly headOffset: number;
  /** Address of the page table of the exact rows: they lie in the record, except in open pages of an int8 cache. */
  readonly exactTable: number;
  /** Bytes from the first head's exact rows of a page to this head's. */
  readonly exactOffset: number;
  /** How the rows are stored once a page is full; `precision` is how they are stored now. */
  readonly storedPrecision: Precision;
}

const CACHE_LINE = 64;

/** The record of a cache that keeps these planes beside the exact one. */
export function pageLayout(headDim: number, precision: Precision, encodings: readonly Encoding[] = []): PageLayout {
  const offsets: Record<Encoding, number> = { sign: 0, int4: 0, int8: 0, values: 0, summary: 0, minMax: 0 };
  // An offset of 0 says that there is no plane, so no plane begins there.
  let bytes = exactPageBytes(headDim, precision) || CACHE_LINE;
  for (const encoding of completeEncodings(encodings, precision)) {
    bytes = Math.ceil(bytes / CACHE_LINE) * CACHE_LINE;
    offsets[encoding] = bytes;
    bytes += encodingBytes(encoding, headDim);
  }
  return { headDim, precision, ...offsets, bytes: Math.ceil(bytes / CACHE_LINE) * CACHE_LINE };
}

/** The planes without which a cache of a precision has no rows. */
const ROW_ENCODINGS: Readonly<Record<Precision, readonly Encoding[]>> = { f16: [], f32: [], int8: ['int8', 'values'] };

/** `planes` and those that the rows are made of, with those that they stand on: each once, in the order of `ENCODINGS`. */
export function completeEncodings(encodings: readonly Encoding[], precision: Precision = 'f16'): Encoding[] {
  const all = [...encodings, ...ROW_ENCODINGS[precision]];
  return ENCODINGS.filter((encoding) =>
    all.some((requested) => requested === encoding || ENCODING_BASES[requested].includes(encoding)),
  );
}
