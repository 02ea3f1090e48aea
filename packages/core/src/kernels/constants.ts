/**
 * The numbers that TypeScript and AssemblyScript must agree on. `npm run build:wasm` writes them to
 * `assembly/generated.ts`, so that each stands here alone. This file imports nothing.
 */

/** Keys of a page. */
export const PAGE_KEYS = 64;

/** Rotated rows are padded with zeros to a multiple of this many dimensions. */
export const ROTATION_MULTIPLE = 32;

/** Buffers of query rows have room for their number rounded up to this. */
export const ROW_MULTIPLE = 4;

/** Factors of the encoding `sign` are stored in this many parts of the largest of their page. */
export const FACTOR_SCALE = 32_767;

/** Factors of a class of dimensions are stored in this many parts of the largest of their page. */
export const CLASS_FACTOR_SCALE = 255;

/** Bytes of a head's basis before its dimensions: see `scan-basis.ts`. */
export const BASIS_HEADER_BYTES = 16;

/** Exponent of the largest magnitude that can be quantized, 2^96: squares and sums of such numbers stay finite. */
export const MAX_QUANTIZABLE_EXPONENT = 96;

/** Period of the sequence of draws, a power of two: key j has number (j + seed * DRAW_STRIDE) mod DRAW_PERIOD. */
export const DRAW_PERIOD = 16_384;

/** Stride of the sequence between seeds; odd, so that over DRAW_PERIOD seeds every key has every number once. */
export const DRAW_STRIDE = 12_367;

/** Fractional bits of the draws -log2 u. */
export const DRAW_FRACTION_BITS = 7;

/** The first draws are repeated behind the last, for vectors that begin before the end of the period. */
export const DRAW_WRAP = 8;

/** Entries of the table of log-probabilities. */
export const DRAW_LOG_ENTRIES = 2048;

/** Numbers of a step's results before those of the rows: see `SieveStates.results`. */
export const SIEVE_RESULT_COUNTS = 4;

/** Numbers of a step's results for each row: see `SieveStates.results`. */
export const SIEVE_ROW_RESULTS = 10;

/** About how many drawn keys tell how scores follow from scans: see `QuantizedKernels.fitScan`. */
export const FIT_SAMPLE_KEYS = 96;

/** About how many drawn keys stand for those that were not drawn: see `QuantizedKernels.undrawnSquares`. */
export const UNDRAWN_SAMPLE_KEYS = 48;

/**
 * A share that fewer than 1 / UNDRAWN_RARITY of the keys that were not drawn are expected to exceed is taken for one that
 * none of them has: see `QuantizedKernels.undrawnSquares`.
 */
export const UNDRAWN_RARITY = 20;

/** Numbers of a row of a block: see `QuantizedKernels.mergeHalfSamples`. */
export const HALF_SAMPLE_NUMBERS = 5;

/** Bins of a histogram of upper bounds on scores: see `countBounds`. The last one also has what lies further below. */
export const BOUND_BINS = 2048;

/** Bins of one nat. */
export const BOUND_BINS_PER_NAT = 64;

/** Numbers of a row whose scores are bounded: see `BoundedRows.numbers`. */
export const BOUNDED_ROW_NUMBERS = 6;
