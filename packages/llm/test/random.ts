/** Numbers for tests that look random and are the same in every run. */
export interface Random {
  /** A whole number from 0 to `below - 1`. */
  integer(below: number): number;
  /** Evenly spread from -1 to 1. */
  signed(): number;
}

/** A linear congruential generator (Numerical Recipes' constants), of whose state the upper bits are used. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return { integer: (below) => Math.floor(next() * below), signed: () => 2 * next() - 1 };
}

export function randomFloats(random: Random, length: number, scale = 1): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length }, () => random.signed() * scale);
}
