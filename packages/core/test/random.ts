/** Random numbers that are the same on every machine, for tests that name the seed of what they found. */

export interface Random {
  /** From 0 up to, not including, 1. */
  uniform(): number;
  /** A whole number from 0 to n - 1. */
  below(n: number): number;
  /** Mean 0, variance 1. */
  normal(): number;
  /** `count` normal numbers times `scale`, in float32. */
  normals(count: number, scale?: number): Float32Array;
}

/** Marsaglia's xorshift generator of 32 bits, seeded through a multiplicative hash. */
export function createRandom(seed: number): Random {
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  for (let i = 0; i < 8; i++) next();
  const uniform = () => next() / 2 ** 32;
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return {
    uniform,
    below: (n) => Math.floor(uniform() * n),
    normal,
    normals(count, scale = 1) {
      const numbers = new Float32Array(count);
      for (let i = 0; i < count; i++) numbers[i] = normal() * scale;
      return numbers;
    },
  };
}
