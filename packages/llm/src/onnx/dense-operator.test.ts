import { describe, expect, it } from 'vitest';
import { DENSE_OPERATORS, type DenseOperatorName } from './dense-operator.ts';

describe.each(Object.keys(DENSE_OPERATORS) as DenseOperatorName[])('dense attention by %s', (name) => {
  it('attends with every query head of a group to its keys', async () => {
    // Two key-value heads of three keys; the second query of each is nearly certain of one key.
    const [keyValueHeads, group, headDim, n] = [2, 2, 8, 3];
    const keys = Float32Array.from({ length: keyValueHeads * n * headDim }, (_, i) => Math.sin(i));
    const values = Float32Array.from({ length: keyValueHeads * n * headDim }, (_, i) => Math.cos(i));
    const queries = Float32Array.from(
      { length: keyValueHeads * group * headDim },
      (_, i) => Math.sin(3 * i) * (i % 16 < 8 ? 1 : 9),
    );
    const truth = attend(queries, keys, values, { keyValueHeads, group, headDim, n });
    const operator = await DENSE_OPERATORS[name]({ keyValueHeads, group, headDim, keys, values, threads: 1 });
    const outputs = [await operator.attend(queries), await operator.attend(queries)];
    await operator.release();
    for (const [i, exact] of truth.entries()) for (const found of outputs) expect(found[i]).toBeCloseTo(exact, 5);
  });
});

interface Sizes {
  keyValueHeads: number;
  group: number;
  headDim: number;
  n: number;
}

function attend(queries: Float32Array, keys: Float32Array, values: Float32Array, sizes: Sizes): number[] {
  const { keyValueHeads, group, headDim, n } = sizes;
  return Array.from({ length: keyValueHeads * group }, (_, row) => {
    const rowOf = (rows: Float32Array, j: number) => {
      const at = (Math.floor(row / group) * n + j) * headDim;
      return rows.subarray(at, at + headDim);
    };
    const query = queries.subarray(row * headDim, (row + 1) * headDim);
    const scores = Array.from({ length: n }, (_, j) =>
      rowOf(keys, j).reduce((sum, x, i) => sum + x * (query[i] as number), 0),
    );
    const weights = scores.map(Math.exp);
    const total = weights.reduce((a, b) => a + b);
    return Array.from({ length: headDim }, (_, i) =>
      weights.reduce((sum, w, j) => sum + (w / total) * (rowOf(values, j)[i] as number), 0),
    );
  }).flat();
}
