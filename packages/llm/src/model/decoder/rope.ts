/**
 * Rotary position embedding (arXiv 2104.09864): cosines and sines of each position's angles, in double precision, given
 * to the segments as inputs. A longer context therefore needs no other segments.
 */
import { llmError } from '../../errors.ts';
import type { GgufTensor } from '../../gguf/index.ts';

/** How one kind of layer turns its queries and keys. */
export interface RopeSpec {
  /** Base of the angles. */
  readonly theta: number;
  /** Leading values of a head that are turned. */
  readonly dimensions: number;
  /** Tokens that the model was trained for. */
  readonly trainedContext: number;
  /** Angles are divided by this ("position interpolation", arXiv 2306.15595). */
  readonly divisor: number;
  /** Fast angles are left undivided (arXiv 2309.00071). */
  readonly yarn?: YarnRamp | undefined;
  /** Cosines and sines are multiplied by this, and with them queries and keys. */
  readonly magnitude: number;
  /** Divisors of each pair's angle. */
  readonly factors?: RopeFactors | undefined;
}

/** Pairs that turn more than `betaFast` times in the original context keep their angle, below `betaSlow` it is divided. */
export interface YarnRamp {
  readonly originalContext: number;
  readonly betaFast: number;
  readonly betaSlow: number;
}

/** Tensors (dimensions / 2): `long` is for contexts that are loaded longer than the original one (arXiv 2402.13753). */
export interface RopeFactors {
  readonly short: GgufTensor;
  readonly long: GgufTensor;
  readonly originalContext: number;
}

/** Cosines and sines of consecutive positions: (tokens, dimensions / 2) each. */
export interface Rotations {
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

/** Rotations of `count` positions from `start` on. */
export type Rope = (start: number, count: number) => Rotations;

/** The tensor of factors for a context of that length. */
export function ropeFactorsFor({ short, long, originalContext }: RopeFactors, context: number): GgufTensor {
  return context > originalContext ? long : short;
}

/** RoPE for contexts of up to `context` tokens; `factors` (dimensions / 2) are those of the specification, read. */
export function createRope(spec: RopeSpec, context: number, factors?: Float32Array): Rope {
  const { dimensions, divisor, yarn, magnitude } = spec;
  const pairs = dimensions / 2;
  requirePositive(factors ?? []);
  const theta = extendedRopeTheta(
    { ropeTheta: spec.theta, ropeDimensions: dimensions, contextLength: spec.trainedContext },
    context,
  );
  const frequencies = Float64Array.from({ length: pairs }, (_, pair) => {
    const frequency = theta ** ((-2 * pair) / dimensions) / (factors?.[pair] ?? 1);
    const kept = yarn === undefined ? 0 : keptShare(yarn, { theta, dimensions, pair });
    return frequency * (kept + (1 - kept) / divisor);
  });
  return (start, count) => {
    const cos = new Float32Array(count * pairs);
    const sin = new Float32Array(count * pairs);
    for (let row = 0; row < count; row++) {
      for (let pair = 0; pair < pairs; pair++) {
        const angle = (start + row) * (frequencies[pair] as number);
        cos[row * pairs + pair] = magnitude * Math.cos(angle);
        sin[row * pairs + pair] = magnitude * Math.sin(angle);
      }
    }
    return { cos, sin };
  };
}

/** A factor of zero would make angles infinite, and their cosines NaN. */
function requirePositive(factors: ArrayLike<number>): void {
  const wrong = Array.from(factors).findIndex((factor) => !(factor > 0 && factor < Number.POSITIVE_INFINITY));
  if (wrong === -1) return;
  throw llmError({
    code: 'not-a-number',
    problem: 'A factor of the RoPE frequencies is no positive finite number.',
    found: `${factors[wrong]} at ${wrong}`,
    remedy: 'Fetch or convert the model again: its tensors of RoPE factors are damaged.',
  });
}

/** The share of a pair's angle that YaRN does not divide, from 1 for fast pairs to 0 for slow ones. */
function keptShare(
  { originalContext, betaFast, betaSlow }: YarnRamp,
  { theta, dimensions, pair }: { theta: number; dimensions: number; pair: number },
): number {
  const pairThatTurns = (times: number) =>
    (dimensions * Math.log(originalContext / (times * 2 * Math.PI))) / (2 * Math.log(theta));
  const low = Math.max(0, Math.floor(pairThatTurns(betaFast)));
  const high = Math.min(dimensions - 1, Math.ceil(pairThatTurns(betaSlow)));
  const slow = (pair - low) / Math.max(0.001, high - low);
  return 1 - Math.min(1, Math.max(0, slow));
}

/**
 * The base of RoPE for a context: the model's own, or, past the length that it was trained for, theta s^(d / (d - 2))
 * for an s times longer one ("NTK-aware" scaling: the fastest angle stays, the slowest is stretched s times).
 */
export function extendedRopeTheta(
  { ropeTheta, ropeDimensions, contextLength }: { ropeTheta: number; ropeDimensions: number; contextLength: number },
  context: number,
): number {
  const extension = context / contextLength;
  if (extension <= 1 || ropeDimensions <= 2) return ropeTheta;
  return ropeTheta * extension ** (ropeDimensions / (ropeDimensions - 2));
}
