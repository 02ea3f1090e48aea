/** Random numbers from a seed: equal seeds give equal samples, resamples and inputs on every machine. */

/** A generator of random numbers. */
export interface Random {
  /** Uniform in [0, 1). */
  uniform(): number;
  /** A uniform integer from 0 to n - 1. */
  below(n: number): number;
}

/** The state is held in two halves of 24 bits. */
const HALF_RANGE = 2 ** 24;

/** The lowest 24 bits of a whole number below 2^53: several times faster than the remainder of a division. */
const lowBits24 = (x: number): number => x - Math.floor(x / HALF_RANGE) * HALF_RANGE;

/** A linear congruential generator with 48 bits of state and the parameters of drand48; its upper 32 bits are used. */
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

/** Independent standard normal numbers, by the transform of Box and Muller. */
export function normals(random: Random, count: number): Float32Array {
  const numbers = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    // 1 - u is never 0, of which there is no logarithm.
    const radius = Math.sqrt(-2 * Math.log(1 - random.uniform()));
    const angle = 2 * Math.PI * random.uniform();
    numbers[i] = radius * Math.cos(angle);
    if (i + 1 < count) numbers[i + 1] = radius * Math.sin(angle);
  }
  return numbers;
}
