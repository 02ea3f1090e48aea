/**
 * bfloat16: the upper half of a float32, for numbers of at least 0. It has the range of float32 and 8 bits of
 * precision, which steps, factors and bounds need no more of; a shift widens it.
 */

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

/** The smallest bfloat16 that is not below x, which is from 0 to 2^127. */
export function toBfloat16Ceil(x: number): number {
  float[0] = x;
  // Math.fround may have rounded down.
  if ((float[0] as number) < x) bits[0] = (bits[0] as number) + 1;
  return ((bits[0] as number) + 0xffff) >>> 16;
}

/** The float32 of a bfloat16. */
export function fromBfloat16(bfloat16: number): number {
  bits[0] = bfloat16 << 16;
  return float[0] as number;
}
