import { createRandom } from './random.ts';

/**
 * Keys (n, headDim) that swing by `bias` in four dimensions, each in its own rhythm, as biased keys do once they are turned:
 * rounding to few bits moves all of their dimensions.
 */
export function swingingKeys(n: number, bias: number, headDim: number): Float32Array {
  const random = createRandom(7);
  const keys = random.normals(n * headDim);
  for (let j = 0; j < n; j++) {
    for (const i of [3, 11, 22, 40]) {
      const at = j * headDim + i;
      keys[at] = (keys[at] as number) + bias * Math.cos(j * (0.4 + i / 50));
    }
  }
  return keys;
}
