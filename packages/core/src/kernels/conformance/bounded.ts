/** The kernels of a certified step: what they list, what they say of the rest, and attention of every row to its own keys. */
import { describe, expect, it } from 'vitest';
import { createRig, type KernelRig, type KernelsUnderTest, randomHead } from '../../../test/kernel-rig.ts';
import { createRandom, type Random } from '../../../test/random.ts';
import type { BoundedRows } from '../bounded-kernels.ts';
import { BOUND_BINS, BOUNDED_ROW_NUMBERS } from '../constants.ts';
import { scratchBytes } from '../kernels.ts';
import { scoreStride } from '../quantized-kernels.ts';
import { expectAccurate, problemOf } from './accuracy.ts';

/** Bounds on the scores of one row, for each key. */
const KINDS: Readonly<Record<string, (random: Random, n: number) => Float32Array>> = {
  normal: (random, n) => random.normals(n, 3),
  flat: (random, n) => random.normals(n, 1e-3),
  equal: (_, n) => new Float32Array(n).fill(-7.25),
  'far apart': (random, n) => random.normals(n, 400),
  large: (random, n) => random.normals(n, 5).map((x) => x + 30_000),
  'one far above': (random, n) => random.normals(n).map((x, j) => (j === n >> 1 ? 60 : x)),
};

interface Listed {
  positions: Int32Array;
  masks: Int32Array;
}

/** A row's numbers. */
interface RowNumbers {
  max: number;
  threshold: number;
  unread: number;
  keys: number;
}

/** Lays bounds out, and counts them. */
function count(kernels: KernelsUnderTest, rows: readonly Float32Array[]) {
  const rig = createRig(kernels);
  const n = (rows[0] as Float32Array).length;
  const stride = scoreStride(n);
  const upper = rig.allocate(rows.length * stride * 4);
  for (const [r, row] of rows.entries()) rig.views().f32.set(row, upper / 4 + r * stride);
  const histograms = rig.allocate(rows.length * BOUND_BINS * 4);
  const numbers = rig.allocate(rows.length * BOUNDED_ROW_NUMBERS * 4);
  const bounded: BoundedRows = { upper, stride, rows: rows.length, n, histograms, numbers };
  rig.kernels.countBounds(bounded);
  return { rig, bounded };
}

function list(rig: KernelRig, bounded: BoundedRows, share: number, maxKeys: number): Listed | undefined {
  const [indices, masks] = [rig.allocate(bounded.n * 4), rig.allocate(bounded.n * 4)];
  const listed = rig.kernels.listForMass(bounded, share, maxKeys, indices, masks, rig.allocate(2048));
  return listed < 0 ? undefined : { positions: rig.ints(indices, listed), masks: rig.ints(masks, listed) };
}

function rowNumbers(rig: KernelRig, { numbers }: BoundedRows, row: number): RowNumbers {
  const at = numbers + row * BOUNDED_ROW_NUMBERS * 4;
  const [max, threshold, , unread] = rig.floats(at, 4) as unknown as [number, number, number, number];
  return { max, threshold, unread, keys: rig.ints(at + 16, 1)[0] as number };
}

const massOf = (bounds: Float32Array, max: number, which: (position: number) => boolean) =>
  bounds.reduce((sum, bound, position) => sum + (which(position) ? Math.exp(bound - max) : 0), 0);

export function describeBounded(kernels: KernelsUnderTest): void {
  describe('keys for a share of the softmax', () => {
    it.for(Object.keys(KINDS))(
      'leave no more unread than they say, nor read more than they must: %s bounds',
      (kind) => {
        for (const rows of [1, 3, 5]) {
          for (const n of [1, 3, 64, 130, 1001]) {
            for (const share of [0.2, 0.05, 1e-4]) {
              const random = createRandom(n + rows);
              const bounds = Array.from({ length: rows }, () => (KINDS[kind] as (typeof KINDS)[string])(random, n));
              const { rig, bounded } = count(kernels, bounds);
              const { positions, masks } = list(rig, bounded, share, n * rows) ?? expect.fail('no list');
              expect([...positions]).toEqual([...new Set(positions)].sort((a, b) => a - b));
              for (const [row, rowBounds] of bounds.entries()) {
                const what = `${rows} rows, ${n} keys, ${share}`;
                const read = new Set([...positions].filter((_, j) => ((masks[j] as number) >> row) & 1));
                const { max, unread, keys } = rowNumbers(rig, bounded, row);
                expect(keys, what).toBe(read.size);
                expect(max).toBe(rowBounds.reduce((a, b) => Math.max(a, b)));
                const left = massOf(rowBounds, max, (position) => !read.has(position));
                expect(unread, what).toBeGreaterThanOrEqual(left);
                const total = massOf(rowBounds, max, () => true);
                // Bins of 1 / 64 are 2 % wide.
                expect(unread, what).toBeLessThanOrEqual(share * total * 1.017);
                // The key above those that are left: without it the list would leave too much. Keys of its bin are alike.
                const least = Math.min(...[...read].map((position) => rowBounds[position] as number));
                const bin = rowBounds.filter((x) => Math.abs(x - least) <= 0.02).length * Math.exp(least - max);
                if (read.size > 1) expect(1.04 * (unread + bin), what).toBeGreaterThanOrEqual(share * total);
              }
            }
          }
        }
      },
    );

    it('are listed by bounds first, and then by what was read: only what is new, for the rows that need it', () => {
      const random = createRandom(3);
      const bounds = [random.normals(1000, 2), random.normals(1000, 2), random.normals(1000, 2)];
      const { rig, bounded } = count(kernels, bounds);
      const first = list(rig, bounded, 0.05, 3000) as Listed;
      const read = bounds.map((row, r) => {
        const rowKeys = new Set([...first.positions].filter((_, j) => ((first.masks[j] as number) >> r) & 1));
        // Row 0 has what its bounds promised, the others half of it.
        const { max } = rowNumbers(rig, bounded, r);
        const sum = massOf(row, max, (position) => rowKeys.has(position)) / (r === 0 ? 0.9 : 2);
        rig.views().f32[bounded.numbers / 4 + r * BOUNDED_ROW_NUMBERS + 2] = Math.fround(max + Math.log(sum));
        return { rowKeys, sum };
      });
      const before = bounds.map((_, r) => rowNumbers(rig, bounded, r));
      const second = list(rig, bounded, 0.05, 3000) as Listed;
      expect(rowNumbers(rig, bounded, 0)).toEqual(before[0]);
      expect(second.positions.length).toBeGreaterThan(0);
      for (const [r, row] of bounds.entries()) {
        const rowKeys = [...second.positions].filter((_, j) => ((second.masks[j] as number) >> r) & 1);
        const { rowKeys: earlier, sum } = read[r] as (typeof read)[number];
        expect(rowKeys.some((position) => earlier.has(position))).toBe(false);
        expect(rowKeys.length > 0).toBe(r > 0);
        const { max, unread, keys } = rowNumbers(rig, bounded, r);
        expect(keys).toBe(earlier.size + rowKeys.length);
        const all = new Set([...earlier, ...rowKeys]);
        expect(unread).toBeGreaterThanOrEqual(massOf(row, max, (position) => !all.has(position)));
        expect(unread / (unread + sum)).toBeLessThanOrEqual(0.05 * 1.001);
      }
      // Nothing is left to list.
      expect(list(rig, bounded, 0.05, 3000)?.positions.length).toBe(0);
    });

    it('are not listed where they are too many, or a bound is not finite', () => {
      const flat = new Float32Array(100);
      const { rig, bounded } = count(kernels, [flat]);
      expect(list(rig, bounded, 0.05, 94)).toBeUndefined();
      const bounds = [flat, Float32Array.from(flat, (_, j) => (j === 50 ? Number.POSITIVE_INFINITY : 0))];
      const infinite = count(kernels, bounds);
      expect(list(infinite.rig, infinite.bounded, 0.05, 200)).toBeUndefined();
    });
  });

  describe('attention of rows to their own keys', () => {
    it.for([8, 64, 80, 128])('is as accurate as float32 is, for d = %i', (headDim) => {
      for (const precision of ['f16', 'f32'] as const) {
        for (const rows of [1, 3, 5]) {
          for (const listed of [1, 63, 64, 65, 200]) {
            const random = createRandom(headDim + rows + listed);
            const head = randomHead(random, 300, headDim, precision);
            const rig = createRig(kernels);
            const pages = rig.layOut(head);
            const queries = random.normals(rows * headDim, 0.3);
            const positions = Int32Array.from({ length: listed }, (_, j) => Math.floor((j * 299) / listed));
            const masks = positions.map((_, j) => (j === 0 ? -1 : Math.floor(random.uniform() * 2 ** rows)));
            const state = rig.start(rows, headDim);
            const scratch = rig.allocate(scratchBytes(rows, headDim));
            const [indices, bits] = [rig.place(positions), rig.place(masks)];
            rig.kernels.attendMasked(pages, indices, bits, listed, rig.place(queries), rows, state, scratch);
            const seen = Array.from({ length: rows }, (_, r) =>
              positions.filter((_position, j) => ((masks[j] as number) >> r) & 1),
            );
            const problem = problemOf(head, { queries, rows, group: rows, limit: 300 }, seen);
            expectAccurate(rig.finish(state, rows, headDim), problem, `${rows} rows, ${listed} keys, ${precision}`);
          }
        }
      }
    });
  });
}
