/**
 * What the sieve asks of the arithmetic beside the exact kernels: to write the planes of a page when it is full, to
 * score keys by them, to draw a sample, and to attend with given weights. As in `kernels.ts` buffers are named by byte
 * addresses, numbers are float32 in row-major order unless said otherwise, and a key is named by its position in the
 * cache. `rows` query rows meet the same keys: they see all of those that a kernel is given.
 *
 * D is `codeDim(d)`. Scores are in nats: the queries are scaled by 1 / sqrt(d) before they come here.
 */

import { type Pages, rotatedDim } from './layout.ts';
import type { StructValues } from './structs.ts';

/** Which of the keys are drawn for certain, and how many there may be. */
export interface DrawPlan {
  /** Keys that there are: positions [0, n). */
  n: number;
  /** Keys before this position are drawn for certain, */
  sinks: number;
  /** and so are those from this one on. */
  recentFrom: number;
  /** Most keys of the sample, the certain ones counted. */
  maxKeys: number;
  /** Any whole number from 0 to 2^31 - 1: another one draws other keys. */
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

/** What `sieve` is asked: see `selectors/sieve.ts`, which says what these are for. */
export interface SieveStep {
  /** Keys: positions [0, n). */
  n: number;
  rows: number;
  /** Binary digits of a scan's scores, see `scanSigns`. */
  fractionBits: number;
  plan: DrawPlan;
  /** For `poolScans`. */
  proposalExponent: number;
  /** A key's weight is at most e^logCap times the weight that is drawn for certain. */
  logCap: number;
  /**
   * Keys of the sample, beside those of the open page, that are attended exactly: at most so many, with a share of at
   * least e^`leastLog`; those before `sinks` and from `recentFrom` on come first, whatever their shares.
   */
  exact: { maxKeys: number; minLogShare: number; sinks: number; recentFrom: number };
}

/** Addresses of what a step of the sieve leaves. */
export interface SieveStates {
  /** Softmax state of the keys that were attended exactly (rows, d). */
  state: number;
  /** Rotated softmax states (rows, D) of the quantized keys: those drawn with certainty, and two halves of the others. */
  certainState: number;
  firstHalfState: number;
  secondHalfState: number;
  /**
   * SIEVE_RESULT_COUNTS numbers of int32: the keys attended exactly, and the keys of each quantized state. Then for each
   * row SIEVE_ROW_RESULTS of float32: the running log-sum-exp (max, sum) of the exact keys, that of all keys, and the
   * estimated error ||output - exact output||. Before `finishSieve` only the last is there, and it is ln of the sum of
   * the squared weights of the certain quantized keys.
   */
  results: number;
}

/** Addresses of the buffers of `sieve`, by their names in a workspace. */
export type SieveBuffers = StructValues<'SieveBuffers'>;

/** How likely the keys of a list were drawn, and how much weight an unlikely one may get. */
export interface ImportanceWeights {
  /** Address of ln pi (count): the logarithm of each key's probability of being drawn, at most 0. */
  logProbabilities: number;
  /** Address of the caps (rows), in nats. */
  caps: number;
}

/** A sample: positions (count), their ln pi (count), and their log-weights `scores` (rows, stride). */
export interface DrawnSample {
  indices: number;
  logProbabilities: number;
  scores: number;
  stride: number;
  rows: number;
  count: number;
}

/**
 * How a sample is split. The keys with the numbers `chosen` (chosenCount, ascending) whose share is at least `least`
 * are attended exactly: their positions and ln pi move to the front of the sample's lists. The others go into the coded
 * list: positions into `codedIndices`, log-weights into `codedScores` (rows, codedStride), in three parts one behind
 * the other, each in the order of the sample: keys with ln pi = 0, and of the others by turns one into either half.
 * Their numbers go to `parts` (3) of int32. `chosen` may be the same buffer as `codedIndices`.
 */
export interface SampleSplit {
  /** (count); of no use afterwards. */
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
   * Writes every plane that `pages` has of page `page`, whose 64 exact rows are there. Returns false, and leaves what
   * it wrote of no use, where a number in them is too large: all |k| and |v| up to 2^96 are well. `scratch` has
   * `sealScratchBytes`.
   *
   * - The centre is the mean of the keys, rotated, as int8: step = max |c| / 127, codes round(c / step).
   * - y = R k - c. The factor is ||y||^2 / ||y||_1, 0 where y is 0; in 32,767 parts of the page's largest, rounded up.
   * - The step of y is s = max |y| / 128, rounded up to `upper16`; its int8 code is floor(y / s), within -128..127, for
   *   (code + .5) s; the 4-bit code is the int8 code's upper half plus 8, u in 0..15, for (u - 7.5) 16 s; the lower
   *   half lies in the plane int8. What is stored is s. Where s is 0, codes are 0 and stand for 0. R v likewise.
   * - The bound of int8 is at least ||R k - c - y8|| for the true R and k, rounding of this computation included.
   * - Boxes are widened by that bound where the page is kept by its codes alone, so that they hold these rows too.
   */
  quantizePage(pages: Pages, page: number, scratch: number): boolean;

  /**
   * The keys or the values at `indices` (count) as their int8 codes have them, rotated: c + y8, or R v, into rows
   * (count, D). `scratch` has room for D numbers.
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

  /** Turns rows (rows, D) back into rows (rows, d). `destination` is another buffer; `source` is of no use afterwards. */
  inverseRotate(source: number, rows: number, headDim: number, destination: number, scratch: number): void;

  /**
   * Prepares `rows` query rows (rows, d) for the scores below: their `CodeQuery`, of `codeQueryBytes`, which is one
   * implementation's own but for its beginning, the rotated rows (rows, D).
   */
  quantizeQueries(queries: number, rows: number, headDim: number, quantizedQuery: number, scratch: number): void;

  /**
   * Estimates the scores of the keys at positions [from, to), whole pages, by their signs: <Rq, c> + f <Rq, sign y>, where
   * Rq may be rounded to 4 bits a number for the signs, and to 16 bits for c. Writes them to `scans` (rows, stride) of
   * int16, in units of 2^-fractionBits ln 2, saturated, and <Rq, c> to the center scores of `queries`. Both begin with
   * the key, and the page, at `from`. `fractionBits` is within SCAN_FRACTION_BITS.
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
   * The sum over `n` scores of a scan: `statistics` (2) are the largest, in nats, and the sum of e^(score - largest) with
   * weights that may be off by 4 %: for shares that only steer a choice.
   */
  approximateLogSumExp(scan: number, n: number, fractionBits: number, statistics: number): void;

  /**
   * pooled[j] = temper * the largest over the rows of scans[row][j] - offsets[row], for n keys; `pooled` is of int16 in
   * the units of the scan, `offsets` are nats. With `further` the largest of that and of what `pooled` has already. Rows
   * of both have room for n rounded up to 8.
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
   * Draws a sample of keys, key j with probability pi_j = min(1, P(g_j - log2 u >= t)): Poisson sampling with draws u_j that
   * are spread evenly over consecutive keys, those of the tables from number (DRAW_STRIDE seed + j) mod DRAW_PERIOD on. A
   * key is drawn if g_j + floor(-log2 u_j) >= t, all in whole units. t is the smallest number with which at most
   * `maxKeys` keys are drawn; infinite where the always included ones alone are as many. If `maxKeys` >= n all keys are
   * drawn and t is -infinity. ln pi_j is exact over the draws of the tables. Returns how many keys were drawn.
   */
  drawKeys(draw: KeyDraw): number;

  /** pooled[j] = the largest over the rows of scores[row][j] - offsets[row], for n keys. */
  maxScoresOverHeads(scores: number, stride: number, rows: number, n: number, offsets: number, pooled: number): void;

  /**
   * Scores by 4-bit keys, <Rq, c> + <Rq, y4>, of the keys at `indices` (count), all in whole pages, into `scores`
   * (rows, stride). The center scores of `queries` are those of `scanSigns`, from the page of the key `from` on. Rq may be
   * rounded to 16 bits a number.
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
   * Bounds on the scores of the keys at positions [from, to), whole pages, by their int8 codes: `lower` and `upper`
   * (rows, stride) are below and above the true score q . k of float64 arithmetic, rounding included. `norms` (rows)
   * are bounds on the norms of the queries.
   *
   * |q . k - (<Rq, c> + <Rq, y8>)| <= ||q|| e + rounding, e the bound of the plane int8.
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

  /** Puts log-weights in place of scores (rows, stride): max(s, min(s - ln pi_j, cap_row)). */
  applyImportanceWeights(scores: number, stride: number, rows: number, count: number, weights: ImportanceWeights): void;

  /** Splits a sample; returns how many of its keys are attended exactly. */
  splitSample(sample: DrawnSample, split: SampleSplit): number;

  /**
   * Takes the values of the keys at `indices` (count), with log-weights `scores` (rows, stride), into a state of
   * `rows` rows. What `scores` holds afterwards is of no use.
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
   * The same with the 4-bit values, which are rotated: into a state of `rows` rows of D numbers. The weights of every 64
   * keys may be rounded to whole numbers, 32,767 for the largest of them.
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
   * Takes the keys at `indices` (count) into a state of many rows, with `biases` (count) added to their scores: what
   * `attendDense` is for consecutive keys, for keys that a block of queries has drawn. Every row sees every key. The
   * buffer of biases has room for `count` rounded up to 8.
   *
   * Queries and keys may be rounded to 1 / 32,767 of their norms, weights to 2^-14 of a row's largest, and values to
   * 1 / 2,047 of the largest number among the 64 that are taken together: what rounding adds is far below what the
   * sample itself leaves uncertain.
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
   * Puts together what a block has of the keys that it attends for certain, in `state`, and of the two halves of its
   * sample: states of rows of d numbers, of at least one key in all. Writes the outputs (rows, d), divided, and into
   * `errors` (rows, 3) for each row the share of the softmax that the halves stand for, the squared error that their
   * difference tells (see `certificates/halves.ts`), and the squared norm of the output.
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
   * One position of a GQA group by the sieve, for keys that all lie in this memory: see `reference/sieve.ts`. `buffers` is
   * the address of the parameter block `SieveBuffers`. What it leaves is the `SieveStates` among them. Returns how many
   * keys were attended exactly.
   */
  sieve(pages: Pages, step: SieveStep, buffers: number): number;

  /**
   * Turns the states of a step, or those of several steps over different keys that were merged, into outputs (rows, d)
   * and the rest of the results. `rounding` is the root mean square error of the output for a weight of 1 that is read by
   * 4 bits. The states are used up. `scratch` is room for (2, D) numbers.
   */
  finishSieve(
    headDim: number,
    rows: number,
    states: SieveStates,
    rounding: number,
    outputs: number,
    scratch: number,
  ): void;
}

/**
 * What every implementation finds in a `CodeQuery`: the rotated rows (rows, D) at its beginning. Behind them it keeps
 * what its own kernels read.
 */
export const quantizedQueryBytes = (rows: number, headDim: number): number => {
  const d = rotatedDim(headDim);
  // Rotated rows; 16-bit codes, in two orders; tables of 16 sums of signs for every 4 dimensions; 16 numbers a row.
  return rows * (d * 4 + d * 2 * 2 + (d / 4) * 16 + 64);
};

/** Bytes of scratch that `seal` needs: a page of keys and values as floats, rotated, and as much again. */
export const quantizeScratchBytes = (headDim: number): number => 4 * 64 * rotatedDim(headDim) * 4 + 4096;

/** The least and the most binary digits of a scan's scores behind the point. */
export const SCAN_FRACTION_BITS = { min: -7, max: 7 } as const;

/** As many binary digits as leave room for scores, in nats, up to `largest`; beyond that they lie at the edge. */
export function scanFractionBits(maxScore: number): number {
  // Estimates by signs may be half as large again as any score.
  const fractionBits = Math.floor(Math.log2(32_767 / (1.5 * Math.LOG2E * maxScore)));
  return Math.max(SCAN_FRACTION_BITS.min, Math.min(SCAN_FRACTION_BITS.max, fractionBits));
}

/** Numbers from one row of scores of n keys to the next. */
export const scoreStride = (n: number): number => (n + 11) & ~3;

/** Numbers from one row of a scan to the next. */
export const scanStride = (n: number): number => (n + 15) & ~7;
