/**
 * `upper16`: the upper half of a float32, rounded up. Numbers at least 0 in 16 bits, with the range of float32 and
 * 8 bits of precision, of which steps, factors and bounds need no more; a shift widens them.
 */

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

/** The smallest `upper16` that is not below x, which is at least 0 and at most 2^127. */
export function toBfloat16Ceil(x: number): number {
  float[0] = x;
  // Rounding to float32 may have gone down.
  if ((float[0] as number) < x) bits[0] = (bits[0] as number) + 1;
  return ((bits[0] as number) + 0xffff) >>> 16;
}

/** The number that an `upper16` stands for. */
export function fromBfloat16(bfloat16: number): number {
  bits[0] = bfloat16 << 16;
  return float[0] as number;
}
