import { describe, expect, it } from 'vitest';
import { FULL_ATTENTION_OPERATORS, type FullAttentionOperatorName } from './full-attention-operator.ts';

describe.each(Object.keys(FULL_ATTENTION_OPERATORS) as FullAttentionOperatorName[])('dense attention by %s', (name) => {
  it('attends with every query head of a group to its keys', async () => {
    // Two key-value heads of three keys; the second query of each is nearly certain of one key.
    const [keyValueHeads, groupSize, headDim, n] = [2, 2, 8, 3];
    const keys = Float32Array.from({ length: keyValueHeads * n * headDim }, (_, i) => Math.sin(i));
    const values = Float32Array.from({ length: keyValueHeads * n * headDim }, (_, i) => Math.cos(i));
    const queries = Float32Array.from(
      { length: keyValueHeads * groupSize * headDim },
      (_, i) => Math.sin(3 * i) * (i % 16 < 8 ? 1 : 9),
    );
    const truth = attend(queries, keys, values, { keyValueHeads, groupSize, headDim, n });
    const operator = await FULL_ATTENTION_OPERATORS[name]({
      keyValueHeads,
      groupSize,
      headDim,
      keys,
      values,
      threads: 1,
    });
    const outputs = [await operator.attend(queries), await operator.attend(queries)];
    await operator.release();
    for (const [i, expected] of truth.entries())
      for (const outputRow of outputs) expect(outputRow[i]).toBeCloseTo(expected, 5);
  });
});

interface Sizes {
  keyValueHeads: number;
  groupSize: number;
  headDim: number;
  n: number;
}

function attend(queries: Float32Array, keys: Float32Array, values: Float32Array, sizes: Sizes): number[] {
  const { keyValueHeads, groupSize, headDim, n } = sizes;
  return Array.from({ length: keyValueHeads * groupSize }, (_, row) => {
    const rowOf = (rows: Float32Array, j: number) => {
      const at = (Math.floor(row / groupSize) * n + j) * headDim;
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
