/** Float32 numbers that are not above, or not below, a float64 one. */

const bits = new Int32Array(1);
const float = new Float32Array(bits.buffer);

/** The smallest float32 that is not below x. */
export function floatAbove(x: number): number {
  const nearest = Math.fround(x);
  if (nearest >= x) return nearest;
  if (nearest === 0) return 2 ** -149;
  float[0] = nearest;
  // The bits of positive numbers grow with the number, those of negative ones shrink.
  bits[0] = (bits[0] as number) + (nearest > 0 ? 1 : -1);
  return float[0];
}

/** The largest float32 that is not above x. */
export const floatBelow = (x: number): number => -floatAbove(-x);
