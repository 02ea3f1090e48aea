/**
 * Rotary position embedding: cosines and sines of each position's angles, in double precision, given to the segments
 * as inputs. A stretched context therefore needs no other segments.
 */
import type { ModelConfig } from './config.ts';

/** Cosines and sines of the rows at hand: (tokens, ropeDimensions / 2) each. */
export interface Rotations {
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

/** Rotations of `count` positions from `start` on. */
export type Rope = (start: number, count: number) => Rotations;

/**
 * RoPE for contexts of up to `context` tokens; `factors` (ropeDimensions / 2) divide the frequencies where the model
 * has such a tensor.
 */
export function createRope(config: ModelConfig, context: number, factors?: Float32Array): Rope {
  const { ropeDimensions, ropeScale } = config;
  const theta = extendedRopeTheta(config, context);
  const pairs = ropeDimensions / 2;
  const frequencies = Float64Array.from(
    { length: pairs },
    (_, pair) => theta ** ((-2 * pair) / ropeDimensions) / (factors?.[pair] ?? 1) / ropeScale,
  );
  return (start, count) => {
    const cos = new Float32Array(count * pairs);
    const sin = new Float32Array(count * pairs);
    for (let row = 0; row < count; row++) {
      for (let pair = 0; pair < pairs; pair++) {
        const angle = (start + row) * (frequencies[pair] as number);
        cos[row * pairs + pair] = Math.cos(angle);
        sin[row * pairs + pair] = Math.sin(angle);
      }
    }
    return { cos, sin };
  };
}

/**
 * The base of RoPE for a context: the model's own, or, past the length that it was trained for, theta s^(d / (d - 2))
 * for an s times longer one ("NTK-aware" scaling: the fastest angle stays, the slowest is stretched s times).
 */
export function extendedRopeTheta({ ropeTheta, ropeDimensions, contextLength }: ModelConfig, context: number): number {
  const extension = context / contextLength;
  if (extension <= 1 || ropeDimensions <= 2) return ropeTheta;
  return ropeTheta * extension ** (ropeDimensions / (ropeDimensions - 2));
}
