/**
 * How far the output of a sample is from that of full attention, estimated from what the step knows already. With p the
 * shares of the keys by their weights, pi the probabilities of the draw, R the root mean square of the values' norms:
 *
 *   squared error = a (||A - B||^2                     the half-samples of the quantized keys: their draw, their 4-bit values
 *                   + R^2 sum p^2 (1 - pi)             the draw of the keys that were attended exactly (Horvitz and Thompson)
 *                   + R^2 E[sum (min(1, p e^(g z)) - p)^2]   4-bit scores, off by g z nats, z normal
 *                   + R^2 h^2 sum p^2)                 4-bit values of the keys drawn with certainty, of relative error h
 *                   + b R^2 E[sum min(1, p)^2]         the keys that were not drawn, as the scan has them: see `QuantizedKernels.fitScan`
 *
 * a is for the spread of such sums about their means, b for the tails of normal noise. The output is the exact one and noise, so its squared norm exceeds
 * that of the exact output by the squared error: dividing by it could never give much more than 1. What is left of it is
 * the denominator; where that is less, it is what values of that norm would add up to if they pointed in no common direction,
 * the root of R^2 sum p^2 over all keys.
 *
 * `npm run bench:estimates` prints how true that is, and docs/estimates.md has its table.
 */
import type { ErrorEstimate } from '../group/estimates.ts';
import type { GroupWork } from '../group/group-work.ts';
import { firstUnquantizedKey } from '../group/quantized-work.ts';
import { HALF_SAMPLE_NUMBERS, SIEVE_RESULT_COUNTS, SIEVE_ROW_RESULTS } from '../kernels/constants.ts';
import { NORMAL_NODES } from '../kernels/normal-nodes.ts';
import { quantizedKey, stepOf } from '../kernels/quantized-rows.ts';
import type { Views } from '../kernels/views.ts';
import {
  BLOCK_ROUNDING_ERROR,
  BLOCK_UNDRAWN_FACTOR,
  ERROR_SPREAD,
  INT4_ROUNDING_ERROR,
  UNDRAWN_FACTOR,
} from './constants.ts';

/** What a step leaves of a row for its estimate: see `SieveStates.results`. */
export interface SampleFindings {
  /** ln of the sum of w^2 of the quantized keys that were drawn with certainty, and of the others. */
  logCertainSquares: number;
  logHalfSquares: number;
  /** ln of the sum of w^2 (1 - pi), and of w^2 pi, of the keys attended exactly. */
  logExactVariance: number;
  logExactSquares: number;
  /** ln of the expected sum of w^2 of the keys that were not drawn. */
  logUndrawnSquares: number;
  /** Distance of the half-samples, relative to the whole sum. */
  halfSampleDistance: number;
}

/** Address of the results of row number `row`, as an index among float32. */
export const rowResultsAt = (results: number, row: number): number =>
  results / 4 + SIEVE_RESULT_COUNTS + row * SIEVE_ROW_RESULTS;

/** Reads what `sieve` and `finishSieve` have left. */
export function readSampleFindings({ f32 }: Views, results: number, row: number): SampleFindings {
  const at = rowResultsAt(results, row);
  return {
    logCertainSquares: f32[at + 4] as number,
    logHalfSquares: f32[at + 5] as number,
    logExactVariance: f32[at + 6] as number,
    logExactSquares: f32[at + 7] as number,
    logUndrawnSquares: f32[at + 8] as number,
    halfSampleDistance: f32[at + 9] as number,
  };
}

/** What the sums of a row are, and its output. */
export interface SampledRow {
  /** Log-sum-exp of the keys that were attended exactly, and of all keys. */
  selected: number;
  total: number;
  outputNorm: number;
  /** Root mean square error of a score by 4-bit keys, in nats. */
  scoreError: number;
}

/** The estimate for one row. */
export function estimateError(
  findings: SampleFindings,
  { selected, total, outputNorm, scoreError }: SampledRow,
  rmsValueNorm: number,
): ErrorEstimate {
  const relative = (logSquares: number) => Math.min(1, Math.exp(logSquares - 2 * total));
  const certain = relative(findings.logCertainSquares);
  const quantized = Math.min(1, certain + relative(findings.logHalfSquares));
  const undrawn = relative(findings.logUndrawnSquares);
  const meanSquare = rmsValueNorm ** 2;
  const sampled =
    findings.halfSampleDistance ** 2 +
    meanSquare *
      (relative(findings.logExactVariance) +
        scoreVariance(quantized, -Math.expm1(selected - total), scoreError) +
        INT4_ROUNDING_ERROR ** 2 * certain);
  const squaredError = ERROR_SPREAD * sampled + UNDRAWN_FACTOR * meanSquare * undrawn;
  const squaredOutput = outputNorm ** 2;
  const incoherent = meanSquare * (relative(findings.logExactSquares) + undrawn);
  return {
    error: Math.sqrt(squaredError),
    exactNorm: Math.sqrt(exactSquare(squaredOutput, squaredError, incoherent)),
  };
}

/**
 * Expected sum of the squares by which shares move, whose sum is `share` and whose squares sum up to `squares`, where their
 * scores are off by normal errors of this deviation: as if these were equal shares.
 */
function scoreVariance(squares: number, share: number, deviation: number): number {
  if (squares === 0) return 0;
  const mean = Math.min(1, squares / Math.max(share, Math.sqrt(squares)));
  const each = NORMAL_NODES.reduce(
    (sum, [node, weight]) => sum + weight * (Math.min(1, mean * Math.exp(deviation * node)) - mean) ** 2,
    0,
  );
  return Math.min(1, (squares / mean ** 2) * each);
}

/**
 * The estimate for one row of a block, which attends exactly with the keys that it draws, `undrawnSquares` as for a step, of
 * `n` keys. Where one key of a half outweighs the others, the output is near its value, and the half-samples near one
 * another: the square of the difference of their masses is what they have of p^2, and tells how much is to be added.
 */
export function estimateBlockError(
  halfSampleErrors: Float32Array,
  row: number,
  undrawnSquares: number,
  n: number,
  rmsValueNorm: number,
): ErrorEstimate {
  const at = HALF_SAMPLE_NUMBERS * row;
  const squaredDistance = halfSampleErrors[at + 1] as number;
  const squaredOutput = halfSampleErrors[at + 2] as number;
  const share = Math.min(1, Math.abs(halfSampleErrors[at + 3] as number));
  const undrawn = Math.min(1, undrawnSquares);
  const meanSquare = rmsValueNorm ** 2;
  const dominance = share ** 2 * (1 - (1 - share) ** 2);
  const squaredError =
    ERROR_SPREAD * (squaredDistance + meanSquare * dominance) +
    BLOCK_UNDRAWN_FACTOR * meanSquare * undrawn +
    BLOCK_ROUNDING_ERROR ** 2 * squaredOutput;
  return {
    error: Math.sqrt(squaredError),
    exactNorm: Math.sqrt(exactSquare(squaredOutput, squaredError, meanSquare * (1 / n + undrawn))),
  };
}

/** The squared norm of an exact output: what the noise has left of it, or that of values that point in no direction. */
const exactSquare = (squaredOutput: number, squaredError: number, incoherent: number): number =>
  Math.max(squaredOutput - squaredError, Math.min(squaredOutput, incoherent));

/** Keys whose rounding stands for that of all. */
const ROUNDING_SAMPLE = 8;

/**
 * Root mean square error of a score by 4-bit keys, in nats, for a query of norm 1 (after scaling by 1 / sqrt(d)). Codes
 * are 16 steps apart, and the rotated query points in no direction of its own, so each dimension adds the rounding
 * error of a uniform quantizer.
 */
export function int4ScoreError({ segments, n }: Pick<GroupWork, 'segments' | 'n'>): number {
  const full = firstUnquantizedKey(n);
  if (full === 0) return 0;
  let squares = 0;
  let index = 0;
  for (let i = 0; i < ROUNDING_SAMPLE; i++) {
    const position = Math.floor(((i + 0.5) * full) / ROUNDING_SAMPLE);
    while (position >= (segments[index]?.to as number)) index++;
    const { region, pages } = segments[index] as GroupWork['segments'][number];
    const views = region.views();
    squares += stepOf(views, quantizedKey(views, pages, position), 'key') ** 2;
  }
  return Math.sqrt((256 / 12) * (squares / ROUNDING_SAMPLE));
}
