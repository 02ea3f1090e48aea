/**
 * What is known of the error of an attention output: bounds on the tail mass and on the relative output error.
 *
 * With a share tau of the softmax dropped, the output is the mean of the head where it should be
 * (1 - tau) head + tau tail, so the error is exactly tau ||head - tail||, and tau is the total variation distance of
 * the two softmaxes (arXiv 2512.07647). ||tail|| is at most the largest norm of a value. All bounds are rounded
 * outward: see `roundingOfMass`. Beyond them an output has the rounding of float32, as dense attention has.
 *
 * Exact is dense attention over the cache's own contents. What an int8 cache holds of a full page is what its codes stand
 * for: how far that is from the keys and values as they were written, certificates do not say, but for one thing: the
 * share that `certify` asks for is kept for the keys as written as well, since int8 bounds count the codes' error.
 */
import { type HeadQuery, logOf, type SoftmaxSum } from '../cache/head-query.ts';
import { codeDim } from '../kernels/layout.ts';

/** How much a certificate promises: it holds always, with a stated probability, or is an estimate; best first. */
export const CERTIFICATE_KINDS = ['certified', 'probable', 'estimated'] as const;
/** One of `CERTIFICATE_KINDS`. */
export type CertificateKind = (typeof CERTIFICATE_KINDS)[number];

/** Bounds on the error of one output, against dense attention over the same cache. */
export interface Certificate {
  kind: CertificateKind;
  /** Bound on the share of the softmax that was not read. */
  tailMass: number;
  /** Bound on ||output - exact|| / ||exact||; infinite where none is known. */
  outputError: number;
}

/** Nothing was left out. */
export const EXACT: Certificate = { kind: 'certified', tailMass: 0, outputError: 0 };

/** The weaker of two kinds. */
export const weakerKind = (a: CertificateKind, b: CertificateKind): CertificateKind =>
  CERTIFICATE_KINDS.indexOf(a) > CERTIFICATE_KINDS.indexOf(b) ? a : b;

/** What is known of one row once it has its output. */
export interface Findings {
  /** Keys that were read exactly. */
  count: number;
  /** Their sum. */
  head: SoftmaxSum;
  /** The sum over all keys, where all were scored exactly (to rounding). */
  total?: SoftmaxSum;
  /** A bound on the sum over the keys that were not read, where one is known. */
  tailBound?: SoftmaxSum;
  /** A bound on their share of the softmax, rounding included, where one is known. */
  tailShare?: number;
  /** The output (d). */
  output: Float32Array;
  /** The mean value of the keys that were read exactly (d), where the output is another, with a tail estimate in it. */
  headMean?: Float32Array;
  /** A bound on ||output - exact||, where the tail estimate knows one. */
  errorBound?: number;
  /** Where the tail estimate knows of its own error: an estimate of it, ||output - exact||, and the whole sum with it. */
  estimate?: { error: number; total: SoftmaxSum };
}

/**
 * The certificate of one row's output. With o the output, h the mean of the head and t that of the tail, the exact
 * output is (1 - tau) h + tau t, so it is off by (1 - tau) (h - o) + tau (t - o): at most
 * (1 - tau) ||h - o|| + tau (||o|| + the largest norm of a value), which grows with tau, so that a bound on tau will do.
 * It holds for any o, however it was made.
 */
export function certify(query: HeadQuery, row: number, findings: Findings): Certificate {
  const { count, head, total, tailBound, output, headMean, estimate } = findings;
  if (count >= query.n) return EXACT;
  const outputNorm = normOf(output);
  if (total === undefined && tailBound === undefined && estimate !== undefined)
    return estimated(head, estimate, outputNorm);
  const tailMass = boundMass(query, row, findings);
  const moved = headMean === undefined ? 0 : (1 - tailMass) * distanceOf(headMean, output);
  const dropped = moved + tailMass * (outputNorm + query.valueNorm);
  const error = Math.min(dropped, findings.errorBound ?? Number.POSITIVE_INFINITY) * (1 + FLOAT_SLACK);
  const exactNorm = outputNorm - error;
  return { kind: 'certified', tailMass, outputError: exactNorm > 0 ? error / exactNorm : Number.POSITIVE_INFINITY };
}

function estimated(
  head: SoftmaxSum,
  { error, total }: { error: number; total: SoftmaxSum },
  outputNorm: number,
): Certificate {
  const tailMass = Math.min(1, Math.max(0, 1 - Math.exp(logOf(head) - logOf(total))));
  return { kind: 'estimated', tailMass, outputError: outputNorm > 0 ? error / outputNorm : Number.POSITIVE_INFINITY };
}

function normOf(row: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += (row[i] as number) ** 2;
  return Math.sqrt(sum);
}

const distanceOf = (a: Float32Array, b: Float32Array): number =>
  Math.sqrt(a.reduce((sum, x, i) => sum + (x - (b[i] as number)) ** 2, 0));

const FLOAT_SLACK = 1e-5;
const UNIT = 2 ** -24;

/** The least of the bounds on the tail mass: each holds. */
function boundMass(query: HeadQuery, row: number, { count, head, total, tailBound, tailShare }: Findings): number {
  return Math.min(
    boundUnscored(query, row, count, head),
    total === undefined ? 1 : boundScored(query, row, count, head, total),
    tailBound === undefined ? 1 : boundTail(query, row, count, head, tailBound),
    tailShare ?? 1,
  );
}

/** Every key was scored: the mass is what is missing from the sum, and the rounding of both sums. */
function boundScored(query: HeadQuery, row: number, count: number, head: SoftmaxSum, total: SoftmaxSum): number {
  const read = (head.sum / total.sum) * Math.exp(head.largest - total.largest);
  return Math.min(1, Math.max(0, 1 - read) + roundingOfMass(query, row, count));
}

/** The keys outside have a sum of at most `tail`: x / (a + x) grows with x. */
function boundTail(query: HeadQuery, row: number, count: number, head: SoftmaxSum, tail: SoftmaxSum): number {
  return Math.min(1, 1 / (1 + Math.exp(logOf(head) - logOf(tail))) + roundingOfMass(query, row, count));
}

/** No key outside was scored: by Cauchy and Schwarz each has at most the score ||q|| ||k||. */
function boundUnscored(query: HeadQuery, row: number, count: number, head: SoftmaxSum): number {
  const bound = (query.norms[row] as number) * query.keyNorm * (1 + FLOAT_SLACK);
  const logTail = Math.log(query.n - count) + bound;
  const logHead = logOf(head);
  return Math.min(1, 1 / (1 + Math.exp(logHead - logTail)) + roundingOfMass(query, row, count));
}

/**
 * How far the share of `count` keys in a softmax, computed in float32, may be from the true one. With u = 2^-24:
 *
 * - A score is a sum in four lanes of products of the query, which has been scaled and rounded: d / 4 additions, and
 *   four roundings more, of at most u ||q|| ||k|| each. Scores that are off by at most x move a share, a quotient of
 *   two sums of e^score, by a factor of at most e^2x.
 *   Of keys kept by their codes the query is rotated first, 16 additions and products for each number, and the keys are
 *   sums c + y8, each rounded twice; ||c|| + ||y8|| is at most 3.3 times the largest norm of a key.
 * - A weight is e^(score - largest), off by a share of 4 u for itself and 75 u for the difference, below which it is 0:
 *   of that not even 2^40 weights come to u.
 *   There are two sums of weights, and the state's is brought to a new largest score on its way, by differences that
 *   come to 75 at most where anything is left of it.
 * - In the state, 64 weights at a time are summed up, 16 to a lane; with each 64 come an addition, a product and an
 *   e^x, 6 u. The sum over all keys is in float64 but for its lanes.
 */
function roundingOfMass({ shape, norms, keyNorm }: HeadQuery, row: number, count: number): number {
  const norm = norms[row] as number;
  const coded = shape.precision === 'int8';
  const dimensions = coded ? codeDim(shape.headDim) : shape.headDim;
  const score = (dimensions / 4 + (coded ? 4 + 16 + 4 : 4)) * UNIT * norm * keyNorm * (coded ? 3.3 : 1);
  const weights = 3 * 79 * UNIT;
  const sums = (6 * (count / 64 + 1) + 2 * 20) * UNIT;
  return 1.1 * (Math.expm1(2 * score) + weights + sums);
}
