/** Texts of a few different keys that come again and again: what stands for dropped ones is exact then. */
import { createRandom } from './random.ts';

export interface FewKeys {
  /** (n, keyValueHeads, headDim) each, all numbers of a float16 */
  keys: Float32Array;
  values: Float32Array;
  /** (n, heads, headDim) */
  queries: Float32Array;
}

export interface FewKeysShape {
  keyValueHeads: number;
  heads: number;
  headDim: number;
}

/** `n` tokens of `different` kinds. */
export function fewKeys({ keyValueHeads, heads, headDim }: FewKeysShape, n: number, different: number): FewKeys {
  const random = createRandom(11);
  const width = keyValueHeads * headDim;
  const eighths = (count: number) => random.normals(count).map((x) => Math.round(x * 8) / 8);
  const kinds = { keys: eighths(different * width), values: eighths(different * width) };
  const [keys, values] = [new Float32Array(n * width), new Float32Array(n * width)];
  for (let j = 0; j < n; j++) {
    const kind = random.below(different);
    keys.set(kinds.keys.subarray(kind * width, (kind + 1) * width), j * width);
    values.set(kinds.values.subarray(kind * width, (kind + 1) * width), j * width);
  }
  return { keys, values, queries: random.normals(n * heads * headDim) };
}
