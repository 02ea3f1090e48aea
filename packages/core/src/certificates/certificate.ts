/**
 * Bounds on the error of an attention output: on the tail mass, and on the relative output error.
 *
 * With a softmax mass of tau dropped, the output is h, the mean over the selected keys, where it should be
 * (1 - tau) h + tau t, so the error is exactly tau ||h - t||, and tau is the total variation distance between the two
 * softmaxes (arXiv 2512.07647). ||t|| is at most the largest norm of a value.
 *
 * The bounds are on what is returned, against full attention in exact arithmetic: what float32 does to the scores, to the
 * sums and to the output itself is counted (`roundingOfMass`, `roundingOfMean`). Only a row that reads every key has an
 * error of 0: it is full attention, and its rounding is that of full attention.
 *
 * Full attention is meant over the contents of the cache. An int8 cache holds full pages dequantized: certificates do not
 * say how far these are from the keys and values that were written.
 */
import { type ErrorEstimate, normOf, relativeError } from '../group/estimates.ts';
import { type GroupWork, logSumExp, type RunningLogSumExp } from '../group/group-work.ts';
import { rotatedDim } from '../kernels/layout.ts';

/** What a certificate's figures are: bounds that always hold, or estimates; the stronger kind first. */
export const CERTIFICATE_KINDS = ['certified', 'estimated'] as const;
/** One of `CERTIFICATE_KINDS`. */
export type CertificateKind = (typeof CERTIFICATE_KINDS)[number];

/** Bounds on the error of one output, against full attention over the same cache in exact arithmetic. */
export interface Certificate {
  kind: CertificateKind;
  /** Bound on the share of the softmax that was not read. */
  tailMass: number;
  /**
   * Bound on ||output - exact|| / ||exact||; infinite where none is known. Rounding is counted, but for a row that read
   * every key: that is full attention, and has 0.
   */
  outputError: number;
}

/** Nothing was left out. */
export const EXACT_CERTIFICATE: Certificate = { kind: 'certified', tailMass: 0, outputError: 0 };

/** The weaker of two kinds. */
export const weakerKind = (a: CertificateKind, b: CertificateKind): CertificateKind =>
  CERTIFICATE_KINDS.indexOf(a) > CERTIFICATE_KINDS.indexOf(b) ? a : b;

/** What a row's certificate is computed from. */
export interface RowFindings {
  /** Keys that were read exactly. */
  count: number;
  /** Running log-sum-exp over the keys that were read exactly. */
  selectedSum: RunningLogSumExp;
  /** Running log-sum-exp over all keys, where all were scored exactly but for rounding. */
  totalSum?: RunningLogSumExp;
  /** Upper bound on the log-sum-exp over the unread keys, if one is known. */
  tailBound?: RunningLogSumExp;
  /** Upper bound on the softmax mass of the unread keys, rounding included, if one is known. */
  tailShare?: number;
  /** The output (d). */
  output: Float32Array;
  /** The mean value of the keys that were read exactly (d). Default: it is the output, without a tail estimate. */
  selectedMean?: Float32Array;
  /** Upper bound on ||output - exact||, if the tail estimate knows one. */
  errorBound?: number;
  /** The tail's estimates of the error and of the log-sum-exp over all keys, if it has any. */
  estimate?: ErrorEstimate & { totalSum: RunningLogSumExp };
}

/**
 * The certificate of one row's output. With o the output, h the mean of the head and t that of the tail, the exact
 * output is (1 - tau) h + tau t, so it is off by (1 - tau) (h - o) + tau (t - o): at most
 * (1 - tau) ||h - o|| + tau (||o|| + the largest norm of a value), which grows with tau, so that a bound on tau will do.
 * It holds for any o, however it was made.
 */
export function certify(work: GroupWork, row: number, findings: RowFindings): Certificate {
  const { count, selectedSum, totalSum, tailBound, output, selectedMean, estimate } = findings;
  if (count >= work.n) return EXACT_CERTIFICATE;
  const outputNorm = normOf(output);
  if (totalSum === undefined && tailBound === undefined && estimate !== undefined)
    return estimated(selectedSum, estimate);
  const tailMass = boundTailMass(work, row, findings);
  const meanShift = selectedMean === undefined ? 0 : (1 - tailMass) * distanceOf(selectedMean, output);
  const tailError = meanShift + tailMass * (outputNorm + work.maxValueNorm);
  const estimateError = atMost(findings.errorBound ?? Number.POSITIVE_INFINITY, tailError);
  const rounding = roundingOfMean(work, row, selectedMean === undefined ? count : work.n);
  const error = (estimateError + rounding) * (1 + FLOAT_SLACK);
  const exactNorm = outputNorm - error;
  return { kind: 'certified', tailMass, outputError: exactNorm > 0 ? error / exactNorm : Number.POSITIVE_INFINITY };
}

/** x, or `most` where x is larger, or not a number. */
const atMost = (x: number, most: number): number => (x <= most ? x : most);

function estimated(
  selectedSum: RunningLogSumExp,
  { totalSum, ...estimate }: ErrorEstimate & { totalSum: RunningLogSumExp },
): Certificate {
  const tailMass = Math.min(1, Math.max(0, 1 - Math.exp(logSumExp(selectedSum) - logSumExp(totalSum))));
  return { kind: 'estimated', tailMass, outputError: relativeError(estimate) };
}

const distanceOf = (a: Float32Array, b: Float32Array): number =>
  Math.sqrt(a.reduce((sum, x, i) => sum + (x - (b[i] as number)) ** 2, 0));

const FLOAT_SLACK = 1e-5;
const UNIT_ROUNDOFF = 2 ** -24;

/** The least of the bounds on the tail mass: each holds. */
function boundTailMass(
  work: GroupWork,
  row: number,
  { count, selectedSum, totalSum, tailBound, tailShare }: RowFindings,
): number {
  // Where scores are so large that a bound is not a number, it says nothing.
  let least = atMost(boundUnscored(work, row, count, selectedSum), 1);
  if (totalSum !== undefined) least = atMost(boundScored(work, row, count, selectedSum, totalSum), least);
  if (tailBound !== undefined) least = atMost(boundTail(work, row, count, selectedSum, tailBound), least);
  return tailShare === undefined ? least : atMost(tailShare, least);
}

/** Every key was scored: the mass is what is missing from the sum, and the rounding of both sums. */
function boundScored(
  work: GroupWork,
  row: number,
  count: number,
  selectedSum: RunningLogSumExp,
  totalSum: RunningLogSumExp,
): number {
  const selectedShare = (selectedSum.sum / totalSum.sum) * Math.exp(selectedSum.max - totalSum.max);
  return Math.min(1, Math.max(0, 1 - selectedShare) + roundingOfMass(work, row, count));
}

/** The keys outside have a sum of at most `tail`: x / (a + x) grows with x. */
function boundTail(
  work: GroupWork,
  row: number,
  count: number,
  selectedSum: RunningLogSumExp,
  tailSum: RunningLogSumExp,
): number {
  return Math.min(
    1,
    1 / (1 + Math.exp(logSumExp(selectedSum) - logSumExp(tailSum))) + roundingOfMass(work, row, count),
  );
}

/** No key outside was scored: by Cauchy and Schwarz each has at most the score ||q|| ||k||. */
function boundUnscored(work: GroupWork, row: number, count: number, selectedSum: RunningLogSumExp): number {
  const bound = (work.queryNorms[row] as number) * work.maxKeyNorm * (1 + FLOAT_SLACK);
  const logTail = Math.log(work.n - count) + bound;
  const logHead = logSumExp(selectedSum);
  return Math.min(1, 1 / (1 + Math.exp(logHead - logTail)) + roundingOfMass(work, row, count));
}

/**
 * How far the share of `count` keys in a softmax, computed in float32, may be from the true one. With u = 2^-24:
 *
 * - A score is a sum in four lanes of products of the query, which has been scaled and rounded: d / 4 additions, and
 *   four roundings more, of at most u ||q|| ||k|| each. Scores that are off by at most x move a share, a quotient of
 *   two sums of e^score, by a factor of at most e^2x.
 *   For int8 keys the query is rotated first, 16 additions and products for each number, and the keys are
 *   sums c + y8, each rounded twice; ||c|| + ||y8|| is at most 3.3 times the largest norm of a key.
 * - A weight is e^(score - largest), off by a share of 4 u for itself and 75 u for the difference, below which it is 0:
 *   of that not even 2^40 weights add up to u.
 *   There are two sums of weights, and the state's is brought to a new largest score on its way, by differences that
 *   are 75 at most where anything is left of it.
 * - In the state, 64 weights at a time are summed up, 16 to a lane; with each 64 come an addition, a product and an
 *   e^x, 6 u. The sum over all keys is in float64 but for its lanes.
 */
export function roundingOfMass(
  { shape, queryNorms, maxKeyNorm }: Pick<GroupWork, 'shape' | 'queryNorms' | 'maxKeyNorm'>,
  row: number,
  count: number,
): number {
  const queryNorm = queryNorms[row] as number;
  const quantized = shape.precision === 'int8';
  const dimensions = quantized ? rotatedDim(shape.headDim) : shape.headDim;
  const score =
    (dimensions / 4 + (quantized ? 4 + 16 + 4 : 4)) * UNIT_ROUNDOFF * queryNorm * maxKeyNorm * (quantized ? 3.3 : 1);
  const weights = 3 * 79 * UNIT_ROUNDOFF;
  const sums = (6 * (count / 64 + 1) + 2 * 20) * UNIT_ROUNDOFF;
  return 1.1 * (Math.expm1(2 * score) + weights + sums);
}

/**
 * How far the mean of the values of `count` keys, computed in float32, may be from the true one: the weights by their
 * rounding, the values as they are added up one by one, and in an int8 cache dequantized and rotated back.
 */
function roundingOfMean(work: GroupWork, row: number, count: number): number {
  const additions = count + (work.shape.precision === 'int8' ? 128 : 64);
  return 1.1 * (roundingOfMass(work, row, count) + additions * UNIT_ROUNDOFF) * work.maxValueNorm;
}
