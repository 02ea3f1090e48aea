/**
 * What the sieve asks of the arithmetic beside the exact kernels: to write the planes of a page when it is full, to
 * score keys by them, to draw a sample, and to attend with given weights. As in `kernels.ts` buffers are named by byte
 * addresses, numbers are float32 in row-major order unless said otherwise, and a key is named by its position in the
 * cache. `rows` query rows meet the same keys: they see all of those that a kernel is given.
 *
 * D is `codeDim(d)`. Scores are in nats: the queries are scaled by 1 / sqrt(d) before they come here.
 */

import type { Pages } from './kernels.ts';
import { codeDim } from './layout.ts';

/** Which of the keys are drawn for certain, and how many there may be. */
export interface SamplePlan {
  /** Keys that there are: positions [0, n). */
  n: number;
  /** Keys before this position are drawn for certain, */
  sinks: number;
  /** and so are those from this one on. */
  keptFrom: number;
  /** Most keys of the sample, the certain ones counted. */
  most: number;
  /** Any whole number from 0 to 2^31 - 1: another one draws other keys. */
  turn: number;
}

/** How likely the keys of a list were drawn, and how much weight an unlikely one may get. */
export interface Weighting {
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
  chosen: number;
  chosenCount: number;
  least: number;
  codedIndices: number;
  codedScores: number;
  codedStride: number;
  parts: number;
}

export interface CodeKernels {
  /**
   * Writes every plane that `pages` has of page `page`, whose 64 exact rows are there. Returns false, and leaves what
   * it wrote of no use, where a number in them is too large: all |k| and |v| up to 2^96 are well. `scratch` has
   * `sealScratchBytes`.
   *
   * - The centre is the mean of the keys, rotated, as int8: step = max |c| / 127, codes round(c / step).
   * - y = R k - c. The factor is ||y||^2 / ||y||_1, rounded up; 0 where y is 0.
   * - The step of y is s = max |y| / 128, rounded up to `upper16`; its int8 code is floor(y / s), within -128..127, for
   *   (code + .5) s; the 4-bit code is the int8 code's upper half plus 8, u in 0..15, for (u - 7.5) 16 s; the lower
   *   half lies in the plane int8. What is stored is s. Where s is 0, codes are 0 and stand for 0. R v likewise.
   * - The bound of int8 is at least ||R k - c - y8|| for the true R and k, rounding of this computation included.
   */
  seal(pages: Pages, page: number, scratch: number): boolean;

  /** Rotates rows (rows, d) into rows (rows, D). `destination` is another buffer. */
  rotate(source: number, rows: number, headDim: number, destination: number, scratch: number): void;

  /** Turns rows (rows, D) back into rows (rows, d). `destination` is another buffer; `source` is of no use afterwards. */
  rotateBack(source: number, rows: number, headDim: number, destination: number, scratch: number): void;

  /**
   * Prepares `rows` query rows (rows, d) for the scores below: their `CodeQuery`, of `codeQueryBytes`, which is one
   * implementation's own but for its beginning, the rotated rows (rows, D).
   */
  prepareCodes(queries: number, rows: number, headDim: number, codeQuery: number, scratch: number): void;

  /**
   * Estimates the scores of the keys at positions [from, to), whole pages, by their signs: <Rq, c> + f <Rq, sign y>,
   * where Rq may be rounded to 5 bits a number for the signs but not for c. Writes them into `scores` (rows, stride),
   * and <Rq, c> of each page into `bases` (rows, baseStride); both begin with the key, and the page, at `from`.
   */
  scanSigns(
    pages: Pages,
    from: number,
    to: number,
    codeQuery: number,
    rows: number,
    scores: number,
    stride: number,
    bases: number,
    baseStride: number,
  ): void;

  /**
   * The sum of `n` scores alone: `statistics` (2) are the largest, and the sum of e^(score - largest) with weights that
   * may be off by 4 %: for shares that only steer a choice.
   */
  estimateMass(scores: number, n: number, statistics: number): void;

  /** pooled[j] = temper * the largest over the rows of scores[row][j] - offsets[row], for n keys. */
  poolScores(
    scores: number,
    stride: number,
    rows: number,
    n: number,
    offsets: number,
    temper: number,
    pooled: number,
  ): void;

  /**
   * Draws a sample of keys, key j with probability pi_j = min(1, e^(g_j - t)), g = `pooled` (n). The draw is Poisson
   * sampling with numbers u_j that are spread evenly over consecutive keys (`sampleNumber`): a key is taken where
   * g_j - ln u_j >= t. t is the smallest multiple of 1/16 from -64 to 64 with which there are at most `most` keys;
   * infinite where the certain ones alone are as many. Where `most` >= n all keys are taken and t is -infinity.
   *
   * Writes positions, ascending, into `indices` of int32, ln pi_j = min(0, g_j - t) (0 for certain keys) into
   * `logProbabilities`, both with room for n, and t into `threshold` (1). Returns how many there are. `scratch` has 16 KiB.
   */
  sampleKeys(
    pooled: number,
    plan: SamplePlan,
    indices: number,
    logProbabilities: number,
    threshold: number,
    scratch: number,
  ): number;

  /**
   * Scores by 4-bit codes of the keys at `indices` (count), all in whole pages: base + <Rq, y4>, into `scores`
   * (rows, stride). `bases` are those of `scanSigns`, from the page of the region's key `from` on. Rq may be rounded to
   * 16 bits a number.
   */
  scoreCodes(
    pages: Pages,
    from: number,
    indices: number,
    count: number,
    codeQuery: number,
    rows: number,
    scores: number,
    stride: number,
    bases: number,
    baseStride: number,
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
    codeQuery: number,
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
  weighScores(scores: number, stride: number, rows: number, count: number, weighting: Weighting): void;

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

  /** The same with the 4-bit values, which are rotated: into a state of `rows` rows of D numbers. */
  addCodedValues(
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
   * buffer of biases has room for `count` rounded up to 4.
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
}

/**
 * What every implementation finds in a `CodeQuery`: the rotated rows (rows, D) at its beginning. Behind them it keeps
 * what its own kernels read.
 */
export const codeQueryBytes = (rows: number, headDim: number): number => {
  const d = codeDim(headDim);
  // Rotated rows; 16-bit codes; tables of 16 sums of signs for every 4 dimensions; 16 numbers a row beside them.
  return rows * (d * 4 + d * 2 + (d / 4) * 16 + 64);
};

/** Bytes of scratch that `seal` needs: a page of keys and values as floats, rotated, and as much again. */
export const sealScratchBytes = (headDim: number): number => 4 * 64 * codeDim(headDim) * 4 + 4096;

/** The number u_j in (0, 1) of key `position` in turn `turn`, by golden-ratio steps of 32-bit integers: 24 bits of it. */
export function sampleNumber(position: number, turn: number): number {
  const bits = (Math.imul(position + 1, 0x9e3779b1) + Math.imul(turn, 0xc13fa9a9)) >>> 8;
  return (bits + 0.5) / 2 ** 24;
}
