import { describe, expect, it } from 'vitest';
import { createDenseOperator } from './dense-operator.ts';

describe('the dense operators of ONNX Runtime', () => {
  it('attend with every query head of a group to its keys', async () => {
    // Two key-value heads of three keys; the second query of each is nearly certain of one key.
    const [keyValueHeads, group, headDim, n] = [2, 2, 4, 3];
    const keys = Float32Array.from({ length: keyValueHeads * headDim * n }, (_, i) => Math.sin(i));
    const values = Float32Array.from({ length: keyValueHeads * n * headDim }, (_, i) => Math.cos(i));
    const queries = Float32Array.from(
      { length: keyValueHeads * group * headDim },
      (_, i) => Math.sin(3 * i) * (i % 8 < 4 ? 1 : 9),
    );
    const operator = await createDenseOperator({ keyValueHeads, group, headDim, keys, values, threads: 1 });
    const outputs = await operator.attend(queries);
    await operator.release();
    for (let row = 0; row < keyValueHeads * group; row++) {
      const head = Math.floor(row / group);
      const scores = Array.from({ length: n }, (_, j) => {
        let sum = 0;
        for (let i = 0; i < headDim; i++)
          sum += (queries[row * headDim + i] as number) * (keys[(head * headDim + i) * n + j] as number);
        return sum;
      });
      const weights = scores.map(Math.exp);
      const total = weights.reduce((a, b) => a + b);
      for (let i = 0; i < headDim; i++) {
        const exact = weights.reduce(
          (sum, w, j) => sum + (w / total) * (values[(head * n + j) * headDim + i] as number),
          0,
        );
        expect(outputs[row * headDim + i]).toBeCloseTo(exact, 5);
      }
    }
  });
});
