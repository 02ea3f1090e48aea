/**
 * How far the output of a sample is from that of full attention, estimated from what the step knows already. With p the
 * shares of the keys by their weights, pi the probabilities of the draw, o the output, R the root mean square of the values'
 * norms, and V = R^2 + ||o||^2, since a share that is off by d moves the output by d ||v - o||:
 *
 *   squared error = a (||A - B||^2                     the half-samples of the quantized keys: their draw, their 4-bit values
 *                   + V sum p^2 (1 - pi)               the draw of the keys that were attended exactly (Horvitz and Thompson)
 *                   + V E[sum (min(1, p e^(g z)) - p)^2]   4-bit scores, off by g z nats, z normal
 *                   + R^2 h^2 sum p^2)                 4-bit values of the keys drawn with certainty, of relative error h
 *                   + V E[sum min(c, p)^2]             the keys that were not drawn, as the scan has them: see `QuantizedKernels.fitScan`
 *
 * a is for the spread of such sums about their means. What is rare is left out, so that it is an estimate of each error and not
 * of the mean of their squares, to which one row in a thousand may add most: c is a share that a key has in one row of twenty.
 *
 * The output is the exact one and noise, so its squared norm exceeds that of the exact output by the squared error of what was
 * drawn, while keys that were not drawn would add to it. What is left is the denominator; at least it is what values of that
 * norm add up to if they point in no common direction, or 1 / MAX_NOISE_RATIO of the output. And no error is larger than both
 * norms together.
 *
 * `npm run bench:estimates` prints how true that is, and docs/estimates.md has its table.
 */
import type { ErrorEstimate } from '../group/estimates.ts';
import { UNDRAWN_RARITY } from '../kernels/constants.ts';
import { rowResultsAt } from '../kernels/quantized-kernels.ts';
import type { Views } from '../kernels/views.ts';
import type { BlockFindings } from '../selectors/selector.ts';
import {
  BLOCK_ERROR_SPREAD,
  BLOCK_ROUNDING_ERROR,
  ERROR_SPREAD,
  INT4_ROUNDING_ERROR,
  MAX_NOISE_RATIO,
  UNDRAWN_NORM_FACTOR,
} from './constants.ts';
import { NORMAL_NODES, normalQuantile } from './normal.ts';

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
  const squaredOutput = outputNorm ** 2;
  const squaredRms = rmsValueNorm ** 2;
  const moved =
    relative(findings.logExactVariance) + scoreVariance(quantized, -Math.expm1(selected - total), scoreError);
  const drawn =
    findings.halfSampleDistance ** 2 +
    (squaredRms + squaredOutput) * moved +
    squaredRms * INT4_ROUNDING_ERROR ** 2 * certain;
  const incoherent = squaredRms * relative(findings.logExactSquares);
  return combine({ drawn: ERROR_SPREAD * drawn, undrawn, incoherent, squaredOutput, squaredRms });
}

/** What an estimate is made of. */
interface ErrorParts {
  /** Squared error of what was drawn. */
  drawn: number;
  /** Expected sum of the squared shares of the keys that were not drawn. */
  undrawn: number;
  /** Squared norm of an exact output whose values point in no common direction. */
  incoherent: number;
  squaredOutput: number;
  /** Mean square of the values' norms. */
  squaredRms: number;
}

function combine({ drawn, undrawn, incoherent, squaredOutput, squaredRms }: ErrorParts): ErrorEstimate {
  const missed = Math.min(1, undrawn);
  const squaredError = drawn + missed * (squaredRms + squaredOutput);
  const signal = Math.max(
    squaredOutput - drawn,
    Math.min(squaredOutput, incoherent),
    squaredOutput / MAX_NOISE_RATIO ** 2,
  );
  const exactNorm = Math.sqrt(signal + UNDRAWN_NORM_FACTOR * missed * squaredRms);
  return { error: Math.min(Math.sqrt(squaredError), Math.sqrt(squaredOutput) + exactNorm), exactNorm };
}

/**
 * Expected sum of the squares by which shares move, whose sum is `share` and whose squares sum up to `squares`, where their
 * scores are off by normal errors of this deviation: as if these were equal shares. No error counts as larger than the one that
 * 1 / UNDRAWN_RARITY of them exceeds: a few scores that are off by nats have squares beyond all others.
 */
function scoreVariance(squares: number, share: number, deviation: number): number {
  if (squares === 0) return 0;
  const mean = Math.min(1, squares / Math.max(share, Math.sqrt(squares)));
  const largest = normalQuantile(1 / (UNDRAWN_RARITY * Math.max(1, squares / mean ** 2)));
  const each = NORMAL_NODES.reduce(
    (sum, [node, weight]) =>
      sum + weight * (Math.min(1, mean * Math.exp(deviation * Math.min(largest, node))) - mean) ** 2,
    0,
  );
  return Math.min(1, (squares / mean ** 2) * each);
}

/**
 * The estimate for one row of a block over `n` keys, which attends exactly with the keys that it draws. Where one key of a
 * half outweighs the others, the output is near its value, and the half-samples near one another: the square of the
 * difference of their masses is what they have of p^2, and tells how much is to be added.
 */
export function estimateBlockError(
  { halfSamples, undrawnSquares, gatheredShare }: BlockFindings,
  n: number,
  rmsValueNorm: number,
): ErrorEstimate {
  const [, squaredDistance, squaredOutput, difference] = halfSamples;
  const share = Math.min(1, Math.abs(difference as number));
  const squaredRms = rmsValueNorm ** 2;
  const drawn =
    BLOCK_ERROR_SPREAD * ((squaredDistance as number) + squaredRms * share ** 2 * (1 - (1 - share) ** 2)) +
    (BLOCK_ROUNDING_ERROR * gatheredShare) ** 2 * (squaredOutput as number);
  return combine({
    drawn,
    undrawn: undrawnSquares,
    incoherent: squaredRms / n,
    squaredOutput: squaredOutput as number,
    squaredRms,
  });
}
