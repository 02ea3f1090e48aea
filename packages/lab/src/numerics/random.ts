/** Repeatable random numbers: the same seed draws the same positions, and the same resamples. */

export interface Random {
  /** From 0 up to, not including, 1. */
  uniform(): number;
  /** A whole number from 0 to n - 1. */
  below(n: number): number;
}

/** A half of the state has 24 bits. */
const HALF_RANGE = 2 ** 24;

/** The lowest 24 bits of a whole number below 2^53: several times faster than the remainder of a division. */
const lowBits24 = (x: number): number => x - Math.floor(x / HALF_RANGE) * HALF_RANGE;

/** A linear congruential generator of 48 bits, of which the upper 32 are given out (the parameters of drand48). */
export function createRandom(seed: number): Random {
  let state = (BigInt(Math.trunc(seed)) << 16n) ^ 0x5deece66dn;
  let [high, low] = [0, 0];
  const mask = (1n << 48n) - 1n;
  state &= mask;
  high = Number(state >> 24n);
  low = Number(state & 0xffffffn);
  // The multiplier 0x5deece66d and the state, in halves of 24 bits, so that every product stays a whole number.
  const [multiplierHigh, multiplierLow] = [0x5de, 0xece66d];
  const next = () => {
    const product = low * multiplierLow + 0xb;
    const carry = Math.floor(product / HALF_RANGE);
    high = lowBits24(low * multiplierHigh + high * multiplierLow + carry);
    low = product - carry * HALF_RANGE;
    return high * 2 ** 8 + Math.floor(low / 2 ** 16);
  };
  for (let i = 0; i < 8; i++) next();
  const uniform = () => next() / 2 ** 32;
  return { uniform, below: (n) => Math.floor(uniform() * n) };
}

/** Repeatable standard normal numbers, by the transform of Box and Muller. */
export function normalNumbers(seed: number): (count: number) => Float32Array {
  const { uniform } = createRandom(seed);
  // 1 - u is never 0, of which there is no logarithm.
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return (count) => Float32Array.from({ length: count }, normal);
}
