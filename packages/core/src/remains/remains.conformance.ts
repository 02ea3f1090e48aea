/** What everything that stands for dropped keys must do, whatever the keys. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { attention64, positionsBelow } from '../../test/plain-attention.ts';
import { createRandom, type Random } from '../../test/random.ts';
import { type CreateRemains, estimateRemains, type Remains } from './remains.ts';

const HEAD_DIM = 16;
/** Values are kept in float16. */
const HALF = 2 ** -11;

interface Rows {
  keys: Float32Array;
  values: Float32Array;
}

/** Tries remains that keep any number of keys up to `exact` as they are; `sized` makes some of other sizes. */
export function describeRemains(create: CreateRemains, exact: number, sized: (size: number) => CreateRemains): void {
  const energies = new Float64Array(HEAD_DIM).fill(1);
  const foldInto = (remains: Remains, rows: Rows) => remains.fold({ ...rows, energies });
  const foldAll = (rows: Rows, calls = 1, make = create): Remains => {
    const remains = make(HEAD_DIM);
    const n = rows.keys.length / HEAD_DIM;
    for (let call = 0; call < calls; call++) {
      const [from, to] = [call, call + 1].map((part) => Math.round((part * n) / calls) * HEAD_DIM);
      foldInto(remains, { keys: rows.keys.slice(from, to), values: rows.values.slice(from, to) });
    }
    return remains;
  };

  describe(`the remains ${create(HEAD_DIM).name}`, () => {
    it('are exact where keys are few, however often each is folded, in any order and any number of calls', () => {
      fc.assert(
        fc.property(
          fc.integer(),
          fc.integer({ min: 1, max: exact }),
          fc.integer({ min: 1, max: 300 }),
          fc.integer({ min: 1, max: 3 }),
          (seed, different, n, calls) => {
            const random = createRandom(seed);
            const rows = pick(
              normals(random, different),
              Array.from({ length: n }, () => random.below(different)),
            );
            const remains = foldAll(rows, calls);
            const query = random.normals(HEAD_DIM);
            const { logSum, value } = estimateRemains(remains, query);
            const truth = truthOf(rows, query);
            expect(remains.keys).toBe(n);
            expect(logSum).toBeCloseTo(truth.logSum, 4);
            expect(distance(value, truth.value)).toBeLessThan(2 * calls * HALF * largestNorm(rows.values) + 1e-4);
          },
        ),
        { numRuns: 40 },
      );
    });

    it('give what keys with one and the same key add up to, whatever their values', () => {
      const random = createRandom(2);
      const rows = {
        keys: pick(normals(random, 1), new Array(500).fill(0)).keys,
        values: random.normals(500 * HEAD_DIM),
      };
      const query = random.normals(HEAD_DIM);
      const truth = truthOf(rows, query);
      const { logSum, value } = estimateRemains(foldAll(rows, 4), query);
      expect(logSum).toBeCloseTo(truth.logSum, 4);
      expect(distance(value, truth.value)).toBeLessThan(0.01);
    });

    it('never say that there is more at least than there is, and count every key', () => {
      fc.assert(
        fc.property(
          fc.integer(),
          fc.integer({ min: 1, max: 700 }),
          fc.constantFrom(0.01, 0.5, 2, 30),
          fc.integer({ min: 1, max: 4 }),
          (seed, n, spread, calls) => {
            const random = createRandom(seed);
            const rows = { keys: random.normals(n * HEAD_DIM, spread), values: random.normals(n * HEAD_DIM) };
            const remains = foldAll(rows, calls);
            expect(remains.keys).toBe(n);
            for (let i = 0; i < 5; i++) {
              const query = random.normals(HEAD_DIM);
              const { logSum, logSumAtLeast, value } = estimateRemains(remains, query);
              expect(logSumAtLeast).toBeLessThanOrEqual(truthOf(rows, query).logSum);
              expect(logSumAtLeast).toBeLessThanOrEqual(logSum);
              expect(value.every(Number.isFinite)).toBe(true);
            }
          },
        ),
        { numRuns: 30 },
      );
    });

    it('are nearer to the truth the more there is of them', () => {
      const errors = [1, 8, 64, 256].map((size) => {
        let error = 0;
        for (let seed = 0; seed < 6; seed++) {
          const random = createRandom(seed);
          // Keys lie about sixty places.
          const rows = pick(
            normals(random, 60),
            Array.from({ length: 400 }, () => random.below(60)),
          );
          for (const [i, x] of random.normals(rows.keys.length, 0.3).entries())
            rows.keys[i] = (rows.keys[i] as number) + x;
          for (const [i, x] of random.normals(rows.values.length, 0.3).entries())
            rows.values[i] = (rows.values[i] as number) + x;
          const remains = foldAll(rows, 3, sized(size));
          for (let i = 0; i < 8; i++) {
            const query = random.normals(HEAD_DIM);
            error += distance(estimateRemains(remains, query).value, truthOf(rows, query).value);
          }
        }
        return error;
      });
      for (const [i, error] of errors.slice(1).entries()) expect(error, `${errors}`).toBeLessThan(errors[i] as number);
    });

    it('are the same in whatever order keys leave', () => {
      const random = createRandom(4);
      const rows = normals(random, 600);
      const order = Array.from({ length: 600 }, (_, j) => j).sort(() => random.uniform() - 0.5);
      const query = random.normals(HEAD_DIM);
      expect(estimateRemains(foldAll(pick(rows, order)), query)).toEqual(estimateRemains(foldAll(rows), query));
    });

    it('stand for no other sums when keys leave in other company', () => {
      // A query of zeros sees the mean of all values, and every key with the same weight.
      const random = createRandom(6);
      const rows = normals(random, 900);
      const zeros = new Float32Array(HEAD_DIM);
      const truth = truthOf(rows, zeros);
      for (const calls of [1, 2, 7, 60]) {
        const { logSum, value } = estimateRemains(foldAll(rows, calls), zeros);
        expect(logSum).toBeCloseTo(Math.log(900), 6);
        expect(distance(value, truth.value)).toBeLessThan(calls * HALF);
      }
    });

    it('take no more memory for more keys, and go on as copies that do not disturb each other', () => {
      const random = createRandom(5);
      const remains = foldAll(normals(random, 512));
      const { bytes } = remains;
      const query = random.normals(HEAD_DIM);
      const before = estimateRemains(remains, query);
      const copy = remains.copy();
      const more = normals(random, 2000);
      foldInto(copy, more);
      expect(copy.bytes).toBeLessThanOrEqual(bytes);
      expect(copy.keys).toBe(2512);
      expect(remains.keys).toBe(512);
      expect(estimateRemains(remains, query)).toEqual(before);
      foldInto(remains, more);
      expect(estimateRemains(remains, query)).toEqual(estimateRemains(copy, query));
    });
  });
}

const normals = (random: Random, n: number, scale = 1): Rows => ({
  keys: random.normals(n * HEAD_DIM, scale),
  values: random.normals(n * HEAD_DIM),
});

/** Rows by their numbers. */
function pick({ keys, values }: Rows, numbers: readonly number[]): Rows {
  const of = (rows: Float32Array) =>
    Float32Array.from(numbers.flatMap((j) => [...rows.subarray(j * HEAD_DIM, (j + 1) * HEAD_DIM)]));
  return { keys: of(keys), values: of(values) };
}

function truthOf({ keys, values }: Rows, query: Float32Array): { logSum: number; value: Float64Array } {
  const visible = [positionsBelow(keys.length / HEAD_DIM)];
  const { outputs, logSumExp } = attention64({ headDim: HEAD_DIM, queries: query, keys, values, visible });
  return { logSum: logSumExp[0] as number, value: outputs };
}

const distance = (a: Float64Array, b: Float64Array): number => Math.hypot(...a.map((x, i) => x - (b[i] as number)));

function largestNorm(rows: Float32Array): number {
  let largest = 0;
  for (let at = 0; at < rows.length; at += HEAD_DIM) {
    largest = Math.max(largest, Math.hypot(...rows.subarray(at, at + HEAD_DIM)));
  }
  return largest;
}
