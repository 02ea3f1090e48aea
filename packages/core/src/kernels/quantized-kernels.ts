/**
 * The kernels beside the exact ones of `kernels.ts`: they write the encodings of a full page, score keys by them, draw
 * a sample, and attend with importance weights. As in `kernels.ts` buffers are named by byte addresses, numbers are
 * float32 in row-major order unless said otherwise, and a key is named by its position in the cache. `rows` query rows
 * meet the same keys: they see all of those that a kernel is given.
 *
 * D is `rotatedDim(d)`. Scores are in nats: the queries are scaled by 1 / sqrt(d) before.
 */

import { SIEVE_RESULT_COUNTS, SIEVE_ROW_RESULTS } from './constants.ts';
import { type Pages, rotatedDim } from './layout.ts';
import type { StructValues } from './structs.ts';

/** Which keys are always included in a sample, and how many keys it may have. */
export interface DrawPlan {
  /** Keys that there are: positions [0, n). */
  n: number;
  /** Positions below this are always included. */
  sinks: number;
  /** Positions from this one on are always included. */
  recentFrom: number;
  /** Keys of the sample at most, the always included ones among them. */
  maxKeys: number;
  /** An integer from 0 to 2^31 - 1: another seed draws other keys. */
  seed: number;
}

/** What `drawKeys` reads and writes, by addresses. */
export interface KeyDraw {
  plan: DrawPlan;
  /** g (n) of int16 in units of 2^-fractionBits. */
  proposals: number;
  fractionBits: number;
  /** The tables of `draw-tables.ts`. */
  tables: number;
  /** Positions of the drawn keys, ascending, of int32: room for n. */
  indices: number;
  /** ln pi of each of them, 0 if it was drawn with certainty: room for n. */
  logProbabilities: number;
  /** t in nats (1). */
  threshold: number;
  /** Room for (n / 8 + 1, 2) of int32. */
  keyBlocks: number;
  /** Room for 16 KiB. */
  scratch: number;
}

/** Query rows that `quantizeQueries` prepared, and the scores of page centres, which `scanSigns` finds for them. */
export interface QuantizedQueries {
  address: number;
  rows: number;
  /** <Rq, c> of each page in nats: (rows, centerStride). */
  centerScores: number;
  centerStride: number;
}

/** One position of the sieve: see `sieve/sieve.ts` for the algorithm, `sieve/plan.ts` for how this is chosen. */
export interface SieveStep {
  /** Keys: positions [0, n). */
  n: number;
  rows: number;
  /** Fractional bits of the scores by signs: see `scanSigns`. */
  fractionBits: number;
  plan: DrawPlan;
  /** Exponent of a key's share in its probability: see `maxOverHeads`. */
  proposalExponent: number;
  /** ln of the cap on a key's weight, relative to the weight at which keys are drawn with certainty. */
  logCap: number;
  /**
   * Which keys of the sample are attended exactly, beside those of the open page: the largest shares, at most `maxKeys`
   * of at least e^minLogShare; keys before `sinks` and from `recentFrom` on come first, whatever their shares.
   */
  exact: { maxKeys: number; minLogShare: number; sinks: number; recentFrom: number };
}

/** Addresses of what a step of the sieve leaves. */
export interface SieveStates {
  /** Softmax state of the keys that were attended exactly (rows, d). */
  state: number;
  /**
   * Rotated softmax states (rows, D) of the quantized keys: those drawn with certainty, and two halves of the others.
   */
  certainState: number;
  firstHalfState: number;
  secondHalfState: number;
  /**
   * SIEVE_RESULT_COUNTS numbers of int32: the keys attended exactly, and the keys of each quantized state. Then for
   * each row SIEVE_ROW_RESULTS of float32: the running log-sum-exp (max, sum) of the exact keys, and that of all keys; the
   * logarithms of five sums over keys of weight w and probability pi: of w^2 over the certain quantized keys, of w^2 over
   * those of the halves, of w^2 (1 - pi) and of w^2 pi over the exact ones, and of what the squares of the keys that were
   * not drawn are expected to be (see `undrawnSquares`); and the distance of the half-samples (see `sieve/half-samples.ts`).
   * Before `finishSieve` only the five logarithms are there.
   */
  results: number;
}

/** Address of the results of row number `row`, as an index among float32: see `SieveStates.results`. */
export const rowResultsAt = (results: number, row: number): number =>
  results / 4 + SIEVE_RESULT_COUNTS + row * SIEVE_ROW_RESULTS;

/** Where, among these, the logarithms of the sums of w^2 (1 - pi) and of w^2 pi over the exact keys are. */
export const exactSquaresAt = (results: number, row: number): number => rowResultsAt(results, row) + 6;

/** Addresses of the buffers of `sieve`, by their names in a workspace. */
export type SieveBuffers = StructValues<'SieveBuffers'>;

/** The probabilities with which the keys of a list were drawn, and the cap on their weights. */
export interface ImportanceWeights {
  /** Address of ln pi (count), at most 0: pi is a key's probability of being drawn. */
  logProbabilities: number;
  /** Address of the caps (rows), in nats. */
  caps: number;
}

/** A sample by addresses: positions (count) of int32, ln pi (count), and log-weights `scores` (rows, stride). */
export interface DrawnSample {
  indices: number;
  logProbabilities: number;
  scores: number;
  stride: number;
  rows: number;
  count: number;
}

/** Keys that were drawn, and the scan by which they were, by addresses. */
export interface ScannedKeys {
  /** A number of int16 for each position, in units of 2^-fractionBits ln 2. */
  scans: number;
  fractionBits: number;
  /** Positions (count) of int32, and ln pi of each. */
  indices: number;
  logProbabilities: number;
  count: number;
}

/**
 * How a sample is split. The keys numbered `selected` (selectedCount, ascending) in the sample whose share is at least
 * e^minShare are attended exactly: their positions and ln pi move to the front of the sample's lists. The others go to
 * `quantizedIndices`, and their log-weights to `quantizedScores` (rows, quantizedStride), in three parts one behind the
 * other: the keys with ln pi = 0, and the rest dealt by turns into two halves. The sizes of the parts go to `parts` (3)
 * of int32. `selected` may be the buffer `quantizedIndices`.
 */
export interface SampleSplit {
  /** ln of each key's largest share over the rows (count); overwritten. */
  shares: number;
  selected: number;
  selectedCount: number;
  minShare: number;
  quantizedIndices: number;
  quantizedScores: number;
  quantizedStride: number;
  parts: number;
}

export interface QuantizedKernels {
  /**
   * Writes every encoding that `pages` has of page `page`, whose 64 exact rows are there. Returns false, and leaves the
   * encodings undefined, if a number is too large: magnitudes up to 2^96 are safe. `scratch` has
   * `quantizeScratchBytes`.
   *
   * - The centre is the mean of the keys, rotated, as int8: step = max |c| / 127, codes round(c / step).
   * - y = R k - c. The factor is ||y||^2 / ||y||_1, 0 where y is 0; in FACTOR_SCALE parts of the page's largest,
   *   rounded up.
   * - The step of y is s = max |y| / 128, rounded up to bfloat16; its int8 code is floor(y / s), within -128..127,
   *   and stands for (code + .5) s. The 4-bit code u is the upper half of that plus 8, in 0..15, and stands for
   *   16 s (u - 7.5); the lower half is in the encoding int8. Where s is 0, codes are 0 and stand for 0. R v likewise.
   * - The bound of int8 is at least ||R k - c - y8|| for the true R and k, rounding of this computation included.
   * - minMax is widened by that bound if the page keeps int8 alone, so that it holds for the dequantized rows too.
   */
  quantizePage(pages: Pages, page: number, scratch: number): boolean;

  /**
   * Dequantizes the keys or the values at `indices` (count) from int8, still rotated: c + y8, or R v, into rows (count,
   * D). `scratch` has room for D numbers.
   */
  dequantizeRows(
    pages: Pages,
    what: 'keys' | 'values',
    indices: number,
    count: number,
    destination: number,
    scratch: number,
  ): void;

  /** Rotates rows (rows, d) into rows (rows, D). `destination` is another buffer. */
  rotate(source: number, rows: number, headDim: number, destination: number, scratch: number): void;

  /** Rotates rows (rows, D) back into rows (rows, d). `destination` is another buffer; `source` is overwritten. */
  inverseRotate(source: number, rows: number, headDim: number, destination: number, scratch: number): void;

  /**
   * Prepares `rows` query rows (rows, d) for quantized scores, in `quantizedQueryBytes` at `quantizedQuery`: the
   * rotated rows (rows, D), and behind them what each implementation needs for itself.
   */
  quantizeQueries(pages: Pages, queries: number, rows: number, quantizedQuery: number, scratch: number): void;

  /**
   * Estimates the scores of the keys at positions [from, to), whole pages, by their signs: <Rq, c> + f <Rq, sign y>,
   * where Rq may be rounded to 4 bits a number for the signs, and to 16 bits for c. Of a head with a basis, which the
   * queries were prepared for too, <Rq, c> + f1 <q1, z1'> + f2 <q2, z2'>, where products with z' may be rounded to 1/31 of
   * the largest of their table. Writes them to `scans` (rows,
   * stride) of int16, in units of 2^-fractionBits ln 2, saturated, and <Rq, c> to the centre scores of `queries`. Both
   * begin with the key, and the page, at `from`. `fractionBits` is within SCAN_FRACTION_BITS.
   */
  scanSigns(
    pages: Pages,
    from: number,
    to: number,
    queries: QuantizedQueries,
    fractionBits: number,
    scans: number,
    stride: number,
  ): void;

  /**
   * Rounds n scores (rows, stride), in nats, to what a scan writes: (rows, scanStride) of int16, in units of
   * 2^-fractionBits ln 2, saturated.
   */
  scanScores(
    scores: number,
    stride: number,
    rows: number,
    n: number,
    fractionBits: number,
    scans: number,
    scanStride: number,
  ): void;

  /**
   * The running log-sum-exp (2) over n scores of a scan: their maximum in nats, and the sum of e^(score - max) to 4 %,
   * for shares that only steer a choice.
   */
  approximateLogSumExp(scan: number, n: number, fractionBits: number, statistics: number): void;

  /**
   * pooled[j] = proposalExponent * max over the rows of (scans[row][j] - offsets[row]), for n keys; `pooled` is of
   * int16 in the units of the scan, `offsets` are in nats. If `accumulate`, the maximum includes what `pooled` has
   * already. Rows of both have room for n rounded up to 8.
   */
  maxOverHeads(
    scans: number,
    stride: number,
    rows: number,
    n: number,
    fractionBits: number,
    offsets: number,
    proposalExponent: number,
    pooled: number,
    accumulate: boolean,
  ): void;

  /**
   * Draws a sample of keys, key j with probability pi_j = min(1, P(g_j - log2 u >= t)): Poisson sampling with draws u_j
   * that are spread evenly over consecutive keys, those of the tables from number (DRAW_STRIDE seed + j) mod
   * DRAW_PERIOD on. A key is drawn if g_j + floor(-log2 u_j) >= t, all in whole units. t is the smallest number with
   * which at most `maxKeys` keys are drawn; infinite where the always included ones alone are as many. If `maxKeys` >=
   * n all keys are drawn and t is -infinity. ln pi_j is exact over the draws of the tables. Returns how many keys were
   * drawn.
   */
  drawKeys(draw: KeyDraw): number;

  /** pooled[j] = the largest over the rows of scores[row][j] - offsets[row], for n keys. */
  maxScoresOverHeads(scores: number, stride: number, rows: number, n: number, offsets: number, pooled: number): void;

  /**
   * How the scores (count) of drawn keys follow from their scans, as some FIT_SAMPLE_KEYS of those that were not drawn with
   * certainty have it: a line and noise, (intercept, slope, standard deviation) in nats at `fit`. The deviation is negative
   * where fewer than 8 of them are. See `reference/undrawn.ts`.
   */
  fitScan(keys: ScannedKeys, scores: number, fit: number): void;

  /**
   * Fits (rows, 3) of many rows of scores (rows, stride) to one scan, each as `fitScan` writes it, by keys that were all drawn
   * without certainty, of which each counts. Returns the mean, over the rows that have noise, of the sum of the two largest noises
   * in standard deviations: by it heavy tails are told. Negative where no row has noise. `scratch` holds `count` floats, rounded
   * up to a multiple of 4.
   */
  fitScanRows(keys: ScannedKeys, scores: number, stride: number, rows: number, fits: number, scratch: number): number;

  /**
   * The expected sum of the squared shares, of a sum of e^logTotal, of the keys that were not drawn, as a fit has it: over
   * those which some UNDRAWN_SAMPLE_KEYS of the drawn keys stand for, `copies` of each such key. Shares are at most 1, and at
   * most the one that 1 / UNDRAWN_RARITY of these keys are expected to exceed; to a few per cent. 0 where the fit says nothing.
   * Of `rows` rows that share a scan: fits (rows, 3), logTotals (rows), squares (rows), which may be the same buffer. `scratch`
   * holds twice `count` floats, each rounded up to a multiple of 4.
   */
  undrawnSquares(
    keys: ScannedKeys,
    copies: number,
    fits: number,
    rows: number,
    logTotals: number,
    squares: number,
    scratch: number,
  ): void;

  /**
   * Scores by 4-bit keys, <Rq, c> + <Rq, y4>, of the keys at `indices` (count), all in whole pages, into `scores`
   * (rows, stride). The centre scores of `queries` are those of `scanSigns`, from the page of the key `from` on. Rq may
   * be rounded to 16 bits a number.
   */
  scoreQuantized(
    pages: Pages,
    from: number,
    indices: number,
    count: number,
    queries: QuantizedQueries,
    scores: number,
    stride: number,
  ): void;

  /**
   * Bounds on the scores of the keys at positions [from, to), full pages, by int8 keys: `lower` and `upper` (rows,
   * stride) enclose the true score q . k of float64 arithmetic, rounding included. `norms` (rows) are bounds on the
   * norms of the queries. Where `lower` is 0 there are no lower bounds.
   *
   * |q . k - (<Rq, c> + <Rq, y8>)| <= ||q|| e + rounding, where e is the error bound of the encoding `bounds`.
   */
  boundScores(
    pages: Pages,
    from: number,
    to: number,
    quantizedQuery: number,
    norms: number,
    rows: number,
    lower: number,
    upper: number,
    stride: number,
  ): void;

  /** Exact scores of the keys at `indices` (count), into `scores` (rows, stride). */
  scoreSelected(
    pages: Pages,
    indices: number,
    count: number,
    queries: number,
    rows: number,
    scores: number,
    stride: number,
    scratch: number,
  ): void;

  /** Replaces scores s (rows, stride) by log-weights max(s, min(s - ln pi_j, cap_row)). */
  applyImportanceWeights(scores: number, stride: number, rows: number, count: number, weights: ImportanceWeights): void;

  /** Splits a sample; returns how many of its keys are attended exactly. */
  splitSample(sample: DrawnSample, split: SampleSplit): number;

  /**
   * For log-weights `scores` (rows, stride) of keys with these ln pi (count), ln of the sum of w^2 (1 - pi), and of w^2 pi,
   * into `squares` (rows, 2). `statistics` is room for a running log-sum-exp (2).
   */
  sumExactSquares(
    scores: number,
    stride: number,
    rows: number,
    count: number,
    logProbabilities: number,
    squares: number,
    statistics: number,
  ): void;

  /**
   * Adds the values of the keys at `indices` (count), with log-weights `scores` (rows, stride), to a state of `rows`
   * rows. `scores` is overwritten.
   */
  addValues(
    pages: Pages,
    indices: number,
    count: number,
    scores: number,
    stride: number,
    rows: number,
    state: number,
    scratch: number,
  ): void;

  /**
   * Adds the 4-bit values of the keys at `indices` (count), with log-weights `scores` (rows, stride), to a state of
   * `rows` rotated rows of D numbers. The weights of every 64 keys may be rounded to integers, 32,767 for the largest
   * of them. `scores` is overwritten.
   */
  addQuantizedValues(
    pages: Pages,
    indices: number,
    count: number,
    scores: number,
    stride: number,
    rows: number,
    state: number,
    scratch: number,
  ): void;

  /**
   * Adds the keys at `indices` (count) to a state of many rows, with `biases` (count) added to their scores: what
   * `attendFull` is for consecutive keys, for keys that a block of queries has drawn. Every row sees every key. The
   * buffer of biases has room for `count` rounded up to 8.
   *
   * Queries and keys may be rounded to 1 / 32,767 of their norms, weights to 2^-14 of a row's largest, and values to
   * 1 / 2,047 of the largest number among the 64 that are added together: far below the sampling error.
   */
  attendGathered(
    pages: Pages,
    indices: number,
    count: number,
    biases: number,
    queries: number,
    rows: number,
    state: number,
    scratch: number,
  ): void;

  /**
   * Merges the states of a block: of the keys that are attended with certainty, `state`, and of the two halves of its
   * sample; together at least one key. Writes the outputs (rows, d), divided, and `errors` (rows, HALF_SAMPLE_NUMBERS):
   * the softmax mass of the halves, the squared error that their difference estimates (see `sieve/half-samples.ts`), the
   * squared norm of the output, the difference of the halves' masses, and the log-sum-exp of all.
   */
  mergeHalfSamples(
    state: number,
    firstHalf: number,
    secondHalf: number,
    rows: number,
    headDim: number,
    outputs: number,
    errors: number,
  ): void;

  /**
   * One position of a GQA group by the sieve, for keys that all lie in this memory: see `reference/sieve.ts`. `buffers`
   * is the address of the parameter block `SieveBuffers`. What it leaves is the `SieveStates` among them. Returns how
   * many keys were attended exactly.
   */
  sieve(pages: Pages, step: SieveStep, buffers: number): number;

  /**
   * Turns the states of a step, or those of several steps over different keys that were merged, into outputs (rows, d)
   * and the rest of the results. The states are used up. `scratch` is room for (2, D) numbers.
   */
  finishSieve(headDim: number, rows: number, states: SieveStates, outputs: number, scratch: number): void;
}

/**
 * Bytes of prepared query rows: see `quantizeQueries`. The rotated rows (rows, D) come first, the rest is the
 * implementation's own.
 */
export const quantizedQueryBytes = (rows: number, headDim: number): number => {
  const d = rotatedDim(headDim);
  // Rotated rows; 16-bit numbers in two orders; tables of 16 signed sums for every 4 dimensions; 16 numbers a row.
  return rows * (d * 4 + d * 2 * 2 + (d / 4) * 16 + 64);
};

/** Bytes of scratch for `quantizePage`: a page of keys and values as floats, rotated, twice. */
export const quantizeScratchBytes = (headDim: number): number => 4 * 64 * rotatedDim(headDim) * 4 + 4096;

/** Range of the fractional bits of a scan's scores. */
export const SCAN_FRACTION_BITS = { min: -7, max: 7 } as const;

/** Fractional bits with which scores up to `maxScore` nats fit in int16; larger ones saturate. */
export function scanFractionBits(maxScore: number): number {
  // Estimates by signs may exceed any score by half.
  const fractionBits = Math.floor(Math.log2(32_767 / (1.5 * Math.LOG2E * maxScore)));
  return Math.max(SCAN_FRACTION_BITS.min, Math.min(SCAN_FRACTION_BITS.max, fractionBits));
}

/** Numbers from one row of scores of n keys to the next. */
export const scoreStride = (n: number): number => (n + 11) & ~3;

/** Numbers from one row of a scan to the next. */
export const scanStride = (n: number): number => (n + 15) & ~7;
