/**
 * How keys and values lie in memory: what kernels and cache agree on. A page is 64 consecutive keys, the unit of
 * allocation, of quantization and of saving. The page of one head is a record: its exact rows, then the encodings that
 * the cache keeps of them, each at its own offset. Exact rows are written key by key; the encodings all at once, when
 * the page is full, and never again.
 */

import { PAGE_KEYS, ROTATION_MULTIPLE } from './constants.ts';

export { PAGE_KEYS };

/** Storage of exact rows: IEEE 754 binary16, or binary32. */
export type ExactPrecision = 'f16' | 'f32';

export const EXACT_PRECISIONS: readonly ExactPrecision[] = ['f16', 'f32'];

/**
 * How a cache stores its keys and values: exactly, or, `int8`, full pages quantized alone. The key row of such a page
 * is R^T (c + y8) and the value row R^T z8, dequantized; pages that are not full yet lie elsewhere, as f32.
 */
export type Precision = ExactPrecision | 'int8';

/** All precisions of a cache. */
export const PRECISIONS: readonly Precision[] = [...EXACT_PRECISIONS, 'int8'];

/**
 * The encodings of a page beside its exact rows. With y = R (k - c), where R is a fixed rotation (`rotation.ts`) into
 * D = `rotatedDim(d)` dimensions and c the centre of the page's keys, as it is stored:
 *
 * - `sign`: the signs of y, a factor f = ||y||^2 / ||y||_1 that makes f <q, sign y> an estimate of <q, y> (RaBitQ,
 *   arXiv 2405.12497), and c.
 * - `bounds`: y8, y in 8 bits with a step of its own for each row, and bounds on ||y - y8|| and ||y8||. With the centre,
 *   which lies before it, it is all that bounds on scores read: one run of memory.
 * - `int4`: y and R v in 4 bits, each row with its own step.
 * - `int8`: the lower 4 bits that make y int8, and a bound on the quantization error: how an int8 cache keeps keys.
 * - `values`: the lower 4 bits that make R v int8.
 * - `summary`: the mean key and the mean value of the page, and the radius of the values around their mean.
 * - `minMax`: the minimum and the maximum of each dimension over 16 keys (Quest, arXiv 2406.10774).
 *
 * `int8` and `values` need `int4`; `int4` and `bounds` need `sign`.
 */
export const ENCODINGS = ['sign', 'bounds', 'int4', 'int8', 'values', 'summary', 'minMax'] as const;
/** One of `ENCODINGS`. */
export type Encoding = (typeof ENCODINGS)[number];

/** The encodings that each encoding needs. */
export const ENCODING_BASES: Readonly<Record<Encoding, readonly Encoding[]>> = {
  sign: [],
  bounds: ['sign'],
  int4: ['sign'],
  int8: ['sign', 'int4'],
  values: ['sign', 'int4'],
  summary: [],
  minMax: [],
};

/** Keys that share a minimum and a maximum. */
export const MIN_MAX_KEYS = 16;

/** Pages that hold n keys. */
export const pagesFor = (n: number): number => Math.ceil(n / PAGE_KEYS);

/** D: the dimensions of a rotated row, d rounded up to a multiple of 32. */
export const rotatedDim = (headDim: number): number => Math.ceil(headDim / ROTATION_MULTIPLE) * ROTATION_MULTIPLE;

/** Bytes of one row of a key or of a value: d numbers, or D int8 codes and their step. */
export function rowBytes(headDim: number, precision: Precision): number {
  if (precision === 'int8') return rotatedDim(headDim) + 2;
  return headDim * (precision === 'f16' ? 2 : 4);
}

/** Bytes of one 4-bit row of a key or of a value, with its step. */
export const quantizedRowBytes = (headDim: number): number => rotatedDim(headDim) / 2 + 2;

/** Bytes of the centres of the full pages of n keys, with their steps: every quantized score reads them. */
export const centreBytes = (n: number, headDim: number): number =>
  Math.floor(n / PAGE_KEYS) * (rotatedDim(headDim) + 4);

/** Bytes of the exact keys and values of one head's page. */
export const exactPageBytes = (headDim: number, precision: Precision): number =>
  precision === 'int8' ? 0 : 2 * PAGE_KEYS * rowBytes(headDim, precision);

/**
 * Bytes of an encoding in one head's page, whose contents are, in this order:
 *
 * - sign: signs (4, D / 8, 16) of uint8: bit b of number [g][t][2 i + h] is set where dimension 8 t + b of key
 *   16 g + 8 h + i is negative; factors (64) of int16, in FACTOR_SCALE parts of the largest; centre (D) of int8; its
 *   step and the largest factor, float32, and 8 unused bytes. Of a head with a basis (`scan-basis.ts`) the first half of
 *   t are 4 dimensions of the first class a byte: in each half of it two signs, then whether their magnitudes are large;
 *   the second half are signs of the second class. Factors are then (2, 64) of uint8, in CLASS_FACTOR_SCALE parts of the
 *   largest of their class, and the second class's largest factor follows the first's.
 * - bounds: rows (64, D) of int8, then their steps (64), the bounds on the errors (64) and those on the lengths (64),
 *   bfloat16.
 * - int4: rows (64, D) of uint8, each of them D / 2 bytes of the key and then D / 2 of the value. The lower four bits
 *   of byte i are dimension i, the upper four are dimension D / 2 + i. Then the steps (64, 2), of key and value,
 *   bfloat16.
 * - int8: rows (64, D / 2) of uint8, as the key bytes of int4; then the error bounds (64), bfloat16.
 * - values: rows (64, D / 2) of uint8, as the value bytes of int4.
 * - summary: mean key (d), mean value (d) and radius, float32, and 12 unused bytes.
 * - minMax: (4, 2, d) of float32: the minima of 16 keys, then their maxima.
 */
export const encodingBytes = (encoding: Encoding, headDim: number): number => {
  const d = rotatedDim(headDim);
  switch (encoding) {
    case 'sign':
      return PAGE_KEYS * (d / 8 + 2) + d + 16;
    case 'bounds':
      return PAGE_KEYS * (d + 6);
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

/** Offsets of the encodings from the start of a head's record, in bytes; 0 if the cache does not keep the encoding. */
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
  /** Address of the basis of the head's scan, 0 where heads have none: see `scan-basis.ts`. */
  readonly basis: number;
}

const CACHE_LINE = 64;

/** The record of a cache that keeps these encodings beside the exact rows. */
export function pageLayout(headDim: number, precision: Precision, encodings: readonly Encoding[] = []): PageLayout {
  const offsets: Record<Encoding, number> = { sign: 0, bounds: 0, int4: 0, int8: 0, values: 0, summary: 0, minMax: 0 };
  // Offset 0 means that an encoding is absent, so none begins there.
  let bytes = exactPageBytes(headDim, precision) || CACHE_LINE;
  for (const encoding of completeEncodings(encodings, precision)) {
    bytes = Math.ceil(bytes / CACHE_LINE) * CACHE_LINE;
    offsets[encoding] = bytes;
    bytes += encodingBytes(encoding, headDim);
  }
  return { headDim, precision, ...offsets, bytes: Math.ceil(bytes / CACHE_LINE) * CACHE_LINE };
}

/** The encodings that hold the rows of a cache, by its precision. */
const ROW_ENCODINGS: Readonly<Record<Precision, readonly Encoding[]>> = { f16: [], f32: [], int8: ['int8', 'values'] };

/** `encodings`, those that hold the rows, and all that these need: each once, in the order of `ENCODINGS`. */
export function completeEncodings(encodings: readonly Encoding[], precision: Precision = 'f16'): Encoding[] {
  const all = [...encodings, ...ROW_ENCODINGS[precision]];
  return ENCODINGS.filter((encoding) =>
    all.some((requested) => requested === encoding || ENCODING_BASES[requested].includes(encoding)),
  );
}
