/** Attention of a block of rows to keys that lie anywhere. */
import { describe, expect, it } from 'vitest';
import {
  createRig,
  type HeadNumbers,
  headOf,
  type KernelsUnderTest,
  randomHead,
  stateNumbers,
} from '../../../test/kernel-rig.ts';
import { createRandom } from '../../../test/random.ts';
import { scratchBytes } from '../kernels.ts';

export function describeGathered(kernels: KernelsUnderTest): void {
  /** Attends with rows (rows, d) to the listed keys, and compares with float64. */
  function check(head: HeadNumbers, queries: Float32Array, positions: Int32Array, biases: Float32Array): void {
    const { headDim } = head;
    const rows = queries.length / headDim;
    const rig = createRig(kernels);
    const pages = rig.layOut(head);
    // A buffer of rows is padded, and so is that of biases.
    const placed = rig.allocate((rows + 3) * headDim * 4);
    rig.views().f32.set(queries, placed / 4);
    const bias = rig.allocate((biases.length + 8) * 4);
    rig.views().f32.set(biases, bias / 4);
    const state = rig.start(rows, headDim);
    const scratch = rig.allocate(scratchBytes(rows, headDim));
    rig.kernels.attendGathered(pages, rig.place(positions), positions.length, bias, placed, rows, state, scratch);
    const statistics = stateNumbers(rig, state, rows, headDim)[0] as Float32Array;
    const outputs = rig.finish(state, rows, headDim);
    for (let row = 0; row < rows; row++) {
      const query = queries.subarray(row * headDim, (row + 1) * headDim);
      const truth = expectedAttention(head, query, positions, biases);
      const logSum = (statistics[2 * row] as number) + Math.log(statistics[2 * row + 1] as number);
      expect(Math.abs(logSum - truth.logSum)).toBeLessThanOrEqual(truth.weightError);
      const output = outputs.subarray(row * headDim, (row + 1) * headDim);
      const maxError = output.reduce(
        (runningMax, x, i) => Math.max(runningMax, Math.abs(x - (truth.output[i] as number))),
        0,
      );
      expect(maxError).toBeLessThanOrEqual(truth.outputError);
    }
  }

  describe('attention to gathered keys', () => {
    it.for([8, 64, 80, 128, 256])('is as near as its codes promise, for d = %i', (headDim) => {
      for (const precision of ['f16', 'f32'] as const) {
        const random = createRandom(headDim);
        const head = randomHead(random, 300, headDim, precision);
        for (const [rows, count] of [
          [1, 1],
          [3, 3],
          [4, 63],
          [9, 64],
          [12, 65],
          [5, 200],
        ] as const) {
          const positions = Int32Array.from({ length: count }, (_, j) => Math.floor((j * 299) / count));
          const biases = Float32Array.from({ length: count }, (_, j) => (j % 5) / 4);
          check(head, random.normals(rows * headDim, 0.3), positions, biases);
        }
      }
    });

    it('is so for keys and values of all sizes, those that are zero among them', () => {
      const headDim = 64;
      const random = createRandom(1);
      const sizes = [0, 1e-30, 1e-6, 1, 1e6];
      const rowsOf = () =>
        random.normals(128 * headDim).map((x, i) => x * (sizes[Math.floor(i / headDim) % 5] as number));
      const head = headOf(headDim, 'f32', rowsOf(), rowsOf());
      const positions = Int32Array.from({ length: 128 }, (_, j) => j);
      const biases = new Float32Array(128);
      for (const scale of [0, 1e-7, 1e-3]) check(head, random.normals(6 * headDim, scale), positions, biases);
    });

    it('leaves a state of no keys as it is', () => {
      const rig = createRig(kernels);
      const head = randomHead(createRandom(1), 64, 64, 'f16');
      const state = rig.start(3, 64);
      const before = stateNumbers(rig, state, 3, 64);
      const queries = rig.place(new Float32Array(4 * 64));
      rig.kernels.attendGathered(
        ...([rig.layOut(head), rig.allocate(16), 0, rig.allocate(32), queries, 3, state] as const),
        rig.allocate(scratchBytes(3, 64)),
      );
      expect(stateNumbers(rig, state, 3, 64)).toEqual(before);
    });
  });
}

interface Expected {
  logSum: number;
  output: Float64Array;
  /** How far the logarithm of the sum may be off, and the numbers of the output. */
  weightError: number;
  outputError: number;
}

/**
 * The truth, and the bounds that the interface gives: codes of 1 / 32,767 of the norm move a score by at most
 * sqrt(d) / 32,767 of the product of the norms (half a step in each of d dimensions, on both sides); a weight is off by
 * at most 2^-15 of the largest; a value by 1 / 4,094 of the largest number. To that comes plain float32.
 */
function expectedAttention(
  { headDim, keys, values }: HeadNumbers,
  query: Float32Array,
  positions: Int32Array,
  biases: Float32Array,
): Expected {
  const rowOf = (numbers: Float32Array, position: number) =>
    numbers.subarray(position * headDim, (position + 1) * headDim);
  const norm = (numbers: Float32Array) => Math.hypot(...numbers);
  const scores = Array.from(positions, (position, j) =>
    rowOf(keys, position).reduce((sum, x, i) => sum + x * (query[i] as number), biases[j] as number),
  );
  const maxError = Math.max(...scores);
  const weights = scores.map((score) => Math.exp(score - maxError));
  const sum = weights.reduce((a, b) => a + b, 0);
  const output = new Float64Array(headDim);
  let maxValue = 0;
  let maxKeyNorm = 0;
  for (const [j, position] of positions.entries()) {
    const value = rowOf(values, position);
    maxKeyNorm = Math.max(maxKeyNorm, norm(rowOf(keys, position)));
    for (let i = 0; i < headDim; i++) {
      output[i] = (output[i] as number) + ((weights[j] as number) * (value[i] as number)) / sum;
      maxValue = Math.max(maxValue, Math.abs(value[i] as number));
    }
  }
  const score = (Math.sqrt(headDim) / 32_767 + headDim * 2 ** -23) * norm(query) * maxKeyNorm + 1e-5;
  // Relative to the sum, of all weights together.
  const weightError = Math.expm1(2 * score) + (positions.length * 2 ** -15) / sum;
  const outputError = maxValue * (2 * weightError + 1 / 4094 + 1e-5);
  return { logSum: maxError + Math.log(sum), output, weightError, outputError };
}
