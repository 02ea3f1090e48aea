/** Softmax states by themselves: begun, merged, finished. */
import { describe, expect, it } from 'vitest';
import { createRig, type KernelsUnderTest, randomHead, stateNumbers } from '../../../test/kernel-rig.ts';
import { createRandom } from '../../../test/random.ts';
import { HALF_SAMPLE_NUMBERS } from '../constants.ts';
import { stateOutputs } from '../kernels.ts';
import { UNIT } from './accuracy.ts';

export function describeStates(kernels: KernelsUnderTest): void {
  describe('mergeState', () => {
    it('adds two sums, each brought to the larger of their largest scores', () => {
      const random = createRandom(41);
      for (const [rows, headDim] of [
        [1, 8],
        [3, 40],
        [4, 64],
        [13, 256],
      ] as const) {
        const rig = createRig(kernels);
        const states = [0, 1].map(() => {
          const state = rig.start(rows, headDim);
          const statistics = random.normals(rows * 2, 5).map((x, i) => (i % 2 === 0 ? x : 1 + Math.abs(x)));
          rig.views().f32.set(statistics, state / 4);
          rig.views().f32.set(random.normals(rows * headDim), stateOutputs(state, rows) / 4);
          return state;
        }) as [number, number];
        const [a, b] = states.map((state) => stateNumbers(rig, state, rows, headDim)) as [
          Float32Array[],
          Float32Array[],
        ];
        rig.kernels.mergeState(...states, rows, headDim);
        const [statistics, outputs] = stateNumbers(rig, states[0], rows, headDim) as [Float32Array, Float32Array];
        const at = (numbers: Float32Array | undefined, i: number) => (numbers as Float32Array)[i] as number;
        for (let row = 0; row < rows; row++) {
          const max = Math.max(at(a[0], 2 * row), at(b[0], 2 * row));
          const [keep, take] = [Math.exp(at(a[0], 2 * row) - max), Math.exp(at(b[0], 2 * row) - max)];
          const expectClose = (actual: number, mine: number, theirs: number) => {
            // e^x is good to 2e-7 and its argument, below 20, to a rounding; then come two products and a sum.
            const tolerance = (20 + 4 + 3) * UNIT * (Math.abs(mine) * keep + Math.abs(theirs) * take);
            expect(Math.abs(actual - (mine * keep + theirs * take))).toBeLessThanOrEqual(tolerance);
          };
          expect(at(statistics, 2 * row)).toBe(max);
          expectClose(at(statistics, 2 * row + 1), at(a[0], 2 * row + 1), at(b[0], 2 * row + 1));
          for (let i = row * headDim; i < (row + 1) * headDim; i++)
            expectClose(at(outputs, i), at(a[1], i), at(b[1], i));
        }
        expect(stateNumbers(rig, states[1], rows, headDim)).toEqual(b);
      }
    });

    it('takes a state without keys for nothing', () => {
      const rig = createRig(kernels);
      const head = randomHead(createRandom(42), 70, 32, 'f32');
      const rows = { queries: createRandom(43).normals(2 * 32), rows: 2, group: 2, limit: 70 };
      const filled = rig.start(2, 32);
      rig.attend(rig.layOut(head), 0, 70, rows, filled);
      const before = stateNumbers(rig, filled, 2, 32);
      rig.kernels.mergeState(filled, rig.start(2, 32), 2, 32);
      expect(stateNumbers(rig, filled, 2, 32)).toEqual(before);
      const keyless = rig.start(2, 32);
      rig.kernels.mergeState(keyless, rig.start(2, 32), 2, 32);
      expect(stateNumbers(rig, keyless, 2, 32)).toEqual(stateNumbers(rig, rig.start(2, 32), 2, 32));
      rig.kernels.mergeState(keyless, filled, 2, 32);
      expect(stateNumbers(rig, keyless, 2, 32)).toEqual(before);
    });
  });

  describe('mergeHalfSamples', () => {
    /** The sum and the numerators of a row of a state, in float64 and in units of e^0. */
    const rowPart = ([statistics, sums]: Float32Array[], row: number, headDim: number) => {
      const scale = Math.exp(statistics?.[2 * row] as number);
      const numerator = (sums as Float32Array).subarray(row * headDim, (row + 1) * headDim);
      return {
        sum: (statistics?.[2 * row + 1] as number) * scale,
        numerator: Float64Array.from(numerator, (x) => x * scale),
      };
    };

    it('gives the output of three parts, the share of the halves, and what tells them apart', () => {
      const random = createRandom(45);
      for (const [rows, headDim, empty] of [
        [1, 8, []],
        [5, 64, [1]],
        [4, 40, [2]],
        [6, 128, [0]],
        [3, 64, [1, 2]],
      ] as const) {
        const rig = createRig(kernels);
        const states = [0, 1, 2].map((which) => {
          const state = rig.start(rows, headDim);
          if ((empty as readonly number[]).includes(which)) return state;
          const statistics = random.normals(rows * 2, 3).map((x, i) => (i % 2 === 0 ? x : 1 + Math.abs(x)));
          rig.views().f32.set(statistics, state / 4);
          rig.views().f32.set(random.normals(rows * headDim), stateOutputs(state, rows) / 4);
          return state;
        }) as [number, number, number];
        const before = states.map((state) => stateNumbers(rig, state, rows, headDim));
        const [outputs, errors] = [rig.allocate(rows * headDim * 4), rig.allocate(rows * HALF_SAMPLE_NUMBERS * 4)];
        rig.kernels.mergeHalfSamples(...states, rows, headDim, outputs, errors);
        for (let row = 0; row < rows; row++) {
          const [certain, firstHalf, secondHalf] = before.map((state) => rowPart(state, row, headDim)) as [
            Part,
            Part,
            Part,
          ];
          const total = certain.sum + firstHalf.sum + secondHalf.sum;
          const output = certain.numerator.map(
            (x, i) => (x + (firstHalf.numerator[i] as number) + (secondHalf.numerator[i] as number)) / total,
          );
          const difference = output.map(
            (x, i) =>
              ((firstHalf.numerator[i] as number) -
                (secondHalf.numerator[i] as number) -
                (firstHalf.sum - secondHalf.sum) * x) /
              total,
          );
          // Some dozens of roundings of numbers that are at most a few.
          const expectClose = (actual: number, truth: number) => expect(Math.abs(actual - truth)).toBeLessThan(1e-4);
          const actual = rig.floats(outputs + row * headDim * 4, headDim);
          for (const [i, x] of output.entries()) expectClose(actual[i] as number, x);
          const [share, squaredError, squaredNorm, shareDifference, logTotal] = rig.floats(
            errors + row * HALF_SAMPLE_NUMBERS * 4,
            HALF_SAMPLE_NUMBERS,
          ) as unknown as [number, number, number, number, number];
          expectClose(share, (firstHalf.sum + secondHalf.sum) / total);
          expectClose(Math.sqrt(squaredError), Math.hypot(...difference));
          expectClose(Math.sqrt(squaredNorm), Math.hypot(...output));
          expectClose(shareDifference, (firstHalf.sum - secondHalf.sum) / total);
          expectClose(logTotal, Math.log(total));
        }
      }
    });
  });

  describe('scaleQueries', () => {
    it('divides rows by sqrt(d), and gives the largest norm', () => {
      const random = createRandom(46);
      for (const [rows, headDim] of [
        [1, 8],
        [3, 64],
        [7, 80],
        [5, 128],
      ] as const) {
        const rig = createRig(kernels);
        const queries = random.normals(rows * headDim, 10);
        const placed = rig.place(queries);
        const max = rig.kernels.scaleQueries(placed, rows, headDim);
        const scaled = rig.floats(placed, rows * headDim);
        for (const [i, x] of scaled.entries()) {
          const truth = (queries[i] as number) / Math.sqrt(headDim);
          expect(Math.abs(x - truth)).toBeLessThanOrEqual(2 * UNIT * Math.abs(truth));
        }
        const norms = Array.from({ length: rows }, (_, row) =>
          Math.hypot(...scaled.subarray(row * headDim, (row + 1) * headDim)),
        );
        expect(Math.abs(max / Math.max(...norms) - 1)).toBeLessThan(headDim * UNIT);
      }
    });
  });

  describe('normalize', () => {
    it('divides each row by its sum, and leaves what lies between the rows', () => {
      const rig = createRig(kernels);
      const [rows, headDim, stride] = [3, 40, 50];
      const random = createRandom(44);
      const state = rig.start(rows, headDim);
      rig.views().f32.set([1, 3, -2, 0.7, 5, 1e-20], state / 4);
      rig.views().f32.set(random.normals(rows * headDim), stateOutputs(state, rows) / 4);
      const [statistics, sums] = stateNumbers(rig, state, rows, headDim) as [Float32Array, Float32Array];
      const destination = rig.allocate(rows * stride * 4);
      rig.kernels.normalize(state, rows, headDim, destination, stride * 4);
      for (let row = 0; row < rows; row++) {
        const sum = statistics[2 * row + 1] as number;
        const truth = sums.subarray(row * headDim, (row + 1) * headDim).map((x) => x / sum);
        expect(rig.floats(destination + row * stride * 4, headDim)).toEqual(truth);
        const between = rig.floats(destination + (row * stride + headDim) * 4, stride - headDim);
        expect(between).toEqual(new Float32Array(stride - headDim).fill(Number.NaN));
      }
      expect(stateNumbers(rig, state, rows, headDim)).toEqual([statistics, sums]);
    });
  });
}

/** One row of a state. */
interface Part {
  sum: number;
  numerator: Float64Array;
}
