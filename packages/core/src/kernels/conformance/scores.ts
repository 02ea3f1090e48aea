/** Scores of keys, sums over them, and the largest of them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRig, type KernelRig, type KernelsUnderTest, randomHead } from '../../../test/kernel-rig.ts';
import { distance, score64 } from '../../../test/plain-attention.ts';
import { createRandom } from '../../../test/random.ts';
import { paddedRows, scratchBytes } from '../kernels.ts';
import { EXACT_PRECISIONS } from '../layout.ts';
import { problemOf, UNIT } from './accuracy.ts';

/** Lists of scores, each made from normal numbers. */
const SHAPES: Readonly<Record<string, (x: number) => number>> = {
  normal: (x) => x,
  flat: (x) => 5 + 1e-6 * x,
  peaked: (x) => Math.expm1(8 * x),
  negative: (x) => -1e4 - Math.abs(x),
  'few different': (x) => Math.round(x),
  equal: () => -2.5,
  'zeros of both signs': (x) => (x < 0 ? -0 : 0),
  'smallest floats': (x) => Math.round(x * 3) * 2 ** -149,
};

export function describeScores(kernels: KernelsUnderTest): void {
  describe('scoreKeys', () => {
    it.for([
      // d, rows, from, to
      [32, 1, 0, 1],
      [64, 3, 0, 200],
      [64, 1, 7, 9],
      [80, 2, 63, 65],
      [96, 8, 64, 128],
      [128, 1, 130, 321],
      [256, 5, 1, 400],
      [8, 1, 399, 400],
    ] as const)(
      'scores keys of %i for %i rows, from %i to %i, and writes nothing else',
      ([headDim, rows, from, to]) => {
        for (const precision of EXACT_PRECISIONS) {
          const random = createRandom(from + to);
          const rig = createRig(kernels);
          const head = randomHead(random, 400, headDim, precision);
          const queries = random.normals(paddedRows(rows) * headDim);
          const count = to - from;
          const stride = count + 3;
          const scores = rig.allocate(rows * stride * 4);
          const scratch = rig.allocate(scratchBytes(rows, headDim));
          rig.kernels.scoreKeys(rig.layOut(head), from, to, rig.place(queries), rows, scores, stride, scratch);

          const problem = problemOf(head, { queries, rows, group: rows, limit: head.n });
          const truth = new Float64Array(rows * count);
          const plain = new Float32Array(rows * count);
          const actual = new Float32Array(rows * count);
          for (let row = 0; row < rows; row++) {
            for (let j = 0; j < count; j++) {
              truth[row * count + j] = score64(problem, row, from + j);
              let sum = 0;
              for (let i = 0; i < headDim; i++) {
                const product =
                  (queries[row * headDim + i] as number) * (head.keys[(from + j) * headDim + i] as number);
                sum = Math.fround(sum + Math.fround(product));
              }
              plain[row * count + j] = sum;
            }
            actual.set(rig.floats(scores + row * stride * 4, count), row * count);
            expect(rig.floats(scores + (row * stride + count) * 4, 3)).toEqual(new Float32Array(3).fill(Number.NaN));
          }
          const [plainError, error] = [distance(plain, truth), distance(actual, truth)];
          // The plain error of a few scores may be small by luck: the floor is what one sum of d products of normal
          // numbers must expect, d roundings of partial sums that grow to sqrt(d).
          const floor = (UNIT * headDim) / 2;
          expect(error.norm).toBeLessThanOrEqual(2 * plainError.norm + floor);
          expect(error.max).toBeLessThanOrEqual(2 * plainError.max + floor);
        }
      },
    );
  });

  describe('updateLogSumExp', () => {
    it('is e^x of one score, to 2e-7, from 0 down to -75, and nothing that counts below', () => {
      const rig = createRig(kernels);
      for (let i = 0; i <= 5000; i++) {
        const x = Math.fround(-i * 0.01499);
        const { sum } = update(rig, Float32Array.of(x), { largest: 0, sum: 0 });
        expect(Math.abs(sum - Math.exp(x))).toBeLessThanOrEqual(2e-7 * Math.exp(x));
      }
      for (const x of [-76, -88, -1000, -1e30, Number.NEGATIVE_INFINITY]) {
        expect(update(rig, Float32Array.of(x), { largest: 0, sum: 0 }).sum).toBeLessThan(1e-32);
      }
    });

    it('adds scores up, whatever their number and spread, one list after another', () => {
      const scores = fc.array(
        fc.tuple(fc.integer({ min: 0, max: 300 }), fc.constantFrom(0, 0.01, 1, 10, 1e4), fc.integer()),
        { minLength: 1, maxLength: 4 },
      );
      fc.assert(
        fc.property(scores, (lists) => {
          const rig = createRig(kernels, 2 ** 20);
          let actual = { largest: Number.NEGATIVE_INFINITY, sum: 0 };
          const all: number[] = [];
          for (const [count, spread, seed] of lists) {
            const list = createRandom(seed).normals(count, spread);
            all.push(...list);
            actual = update(rig, list, actual);
          }
          expectLogSumExp(actual, all);
        }),
        { numRuns: 200, seed: 2 },
      );
    });

    it('keeps a small tail beside a large sum: 300,000 equal scores and one far above', () => {
      const rig = createRig(kernels);
      const scores = new Float32Array(300_001).fill(-3.5);
      scores[150_000] = 9;
      expectLogSumExp(update(rig, scores), [...scores]);
    });

    it('has no sum where there are no scores or all are masked', () => {
      const rig = createRig(kernels);
      for (const n of [0, 1, 4, 9]) {
        const empty = { largest: Number.NEGATIVE_INFINITY, sum: 0 };
        expect(update(rig, new Float32Array(n).fill(Number.NEGATIVE_INFINITY))).toEqual(empty);
      }
    });
  });

  describe('selectLargest', () => {
    it('takes the k largest in order of position, of equal ones the earlier', () => {
      const score = fc.oneof(
        fc.float({ noNaN: true, noDefaultInfinity: true }),
        // Many ties, zeros of both signs, the smallest floats.
        fc.constantFrom(
          0,
          -0,
          1,
          -1,
          2 ** -149,
          -(2 ** -149),
          2 ** -126,
          3.4028234663852886e38,
          -3.4028234663852886e38,
        ),
      );
      const cases = fc.tuple(
        fc.array(score, { minLength: 1, maxLength: 300 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
      );
      fc.assert(
        fc.property(cases, fc.integer({ min: 0, max: 1e6 }), ([scores, share], base) => {
          const k = 1 + Math.floor(share * (scores.length - 1));
          expect(largest(createRig(kernels, 2 ** 20), Float32Array.from(scores), k, base)).toEqual(
            largestBySorting(Float32Array.from(scores), k, base),
          );
        }),
        { numRuns: 300, seed: 3 },
      );
    });

    it.for(Object.entries(SHAPES))('takes them of %s scores', ([, shape]) => {
      const rig = createRig(kernels);
      const random = createRandom(31);
      for (const n of [1, 2, 65, 5000]) {
        const scores = random.normals(n).map((x) => shape(x));
        for (const k of new Set([1, Math.ceil(n / 20), Math.ceil(n / 2), n])) {
          expect(largest(rig, scores, k, 7), `${k} of ${n}`).toEqual(largestBySorting(scores, k, 7));
        }
      }
    });

    it('takes the first of keys with the same score', () => {
      const rig = createRig(kernels);
      expect([...largest(rig, Float32Array.of(0, -0, -1, 0, -0), 2, 0)]).toEqual([0, 1]);
      expect([...largest(rig, Float32Array.of(-0, 0, -1, -0, 0), 3, 10)]).toEqual([10, 11, 13]);
    });
  });
}

function update(rig: KernelRig, scores: Float32Array, previous = { largest: Number.NEGATIVE_INFINITY, sum: 0 }) {
  const statistics = rig.place(Float32Array.of(previous.largest, previous.sum));
  rig.kernels.updateLogSumExp(rig.place(scores), scores.length, statistics);
  const [largest = Number.NaN, sum = Number.NaN] = rig.floats(statistics, 2);
  return { largest, sum };
}

function expectLogSumExp({ largest, sum }: { largest: number; sum: number }, scores: readonly number[]): void {
  const maxScore = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  expect(largest).toBe(maxScore);
  const truth = scores.reduce((total, x) => total + Math.exp(x - maxScore), 0); // 0 where there are none
  // A difference of up to 75 from the largest is rounded to float32 before e is raised to it: 75 u = 5e-6, and then
  // its weight is as good as none; near the largest, where the weight is, it is the 2e-7 of e^x itself.
  expect(Math.abs(sum - truth)).toBeLessThanOrEqual(1e-6 * truth);
}

function largest(rig: KernelRig, scores: Float32Array, k: number, base: number): Int32Array {
  const indices = rig.allocate(k * 4 + 4);
  rig.kernels.selectLargest(rig.place(scores), scores.length, k, base, indices, rig.allocate(16_384));
  // The number behind them is untouched.
  expect(rig.ints(indices + k * 4, 1)[0]).toBe(-1);
  return rig.ints(indices, k);
}

function largestBySorting(scores: Float32Array, k: number, base: number): Int32Array {
  const order = Array.from(scores.keys()).sort((a, b) => (scores[b] as number) - (scores[a] as number) || a - b);
  return Int32Array.from(
    order.slice(0, k).sort((a, b) => a - b),
    (position) => base + position,
  );
}
