/** Encodings: how they are written, and the scores by them. */
import { describe, expect, it } from 'vitest';
import {
  createRig,
  type HeadNumbers,
  headOf,
  type KernelRig,
  type KernelsUnderTest,
} from '../../../test/kernel-rig.ts';
import { KEY_SHAPE_NAMES, keysOfShape } from '../../../test/key-shapes.ts';
import { createRandom } from '../../../test/random.ts';
import { type Pages, scratchBytes } from '../kernels.ts';
import { ENCODINGS, MIN_MAX_KEYS, PAGE_KEYS, pagesFor, rotatedDim } from '../layout.ts';
import { quantizedQueryBytes, quantizeScratchBytes } from '../quantized-kernels.ts';
import {
  boundedRow,
  centreOf,
  errorBoundOf,
  int4Row,
  int8Row,
  maxFactorOf,
  quantizedKey,
  signRow,
} from '../quantized-rows.ts';
import { rotate } from '../rotation.ts';
import { UNIT } from './accuracy.ts';

const DIMENSIONS = [8, 24, 64, 80, 96, 128, 256];

/** A head of full pages with all encodings. */
function quantizeHead(kernels: KernelsUnderTest, head: HeadNumbers): { rig: KernelRig; pages: Pages; ok: boolean } {
  const rig = createRig(kernels);
  const pages = rig.layOut(head, ENCODINGS);
  const scratch = rig.allocate(quantizeScratchBytes(head.headDim));
  let ok = true;
  for (let page = 0; page < Math.floor(head.n / PAGE_KEYS); page++)
    ok &&= rig.kernels.quantizePage(pages, page, scratch);
  return { rig, pages, ok };
}

const rowOf = (numbers: Float32Array, headDim: number, position: number): Float32Array =>
  numbers.subarray(position * headDim, (position + 1) * headDim);

const norm = (x: ArrayLike<number>): number => Math.sqrt(dot(x, x));

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

const minus = (a: Float64Array, b: Float64Array): Float64Array => a.map((x, i) => x - (b[i] as number));

/** A rotation is 14 additions of numbers that together keep their norm, and a few roundings more. */
const ROTATION = 32 * UNIT;

function expectQuantized(rig: KernelRig, pages: Pages, head: HeadNumbers, what: string): void {
  const { headDim, keys, values, n } = head;
  const views = rig.views();
  for (let position = 0; position < n - (n % PAGE_KEYS); position++) {
    const quantized = quantizedKey(views, pages, position);
    const key = rowOf(keys, headDim, position);
    const centre = centreOf(views, quantized);
    const y = minus(rotate(key), centre);
    const rounding = ROTATION * (norm(key) + norm(centre)) + 1e-37;

    const signs = signRow(views, quantized);
    const factor = Math.abs(signs[0] as number);
    for (let i = 0; i < y.length; i++) {
      if (Math.abs(y[i] as number) > 2 * rounding)
        expect(Math.sign(y[i] as number), what).toBe(Math.sign(signs[i] as number));
    }
    const sum = y.reduce((total, x) => total + Math.abs(x), 0);
    const expected = sum === 0 ? 0 : norm(y) * (norm(y) / sum);
    expect(factor, what).toBeGreaterThanOrEqual(expected - rounding);
    // One part of the page's largest at most, and a few roundings.
    const part = maxFactorOf(views, quantized) / 32_767;
    expect(factor, what).toBeLessThanOrEqual(expected * (1 + 2e-5) + 1.01 * part + 2 * rounding);

    const max = y.reduce((runningMax, x) => Math.max(runningMax, Math.abs(x)), 0);
    const step = (max / 128) * (1 + 2 ** -6) + rounding;
    const error = minus(y, int8Row(views, quantized));
    for (const x of error) expect(Math.abs(x), what).toBeLessThanOrEqual(step / 2 + 2 * rounding);
    for (const x of minus(y, int4Row(views, quantized, 'key')))
      expect(Math.abs(x), what).toBeLessThanOrEqual(8 * step + 2 * rounding);
    const bound = errorBoundOf(views, quantized);
    expect(bound, what).toBeGreaterThanOrEqual(norm(error));
    expect(bound, what).toBeLessThanOrEqual(norm(error) * 1.02 + step * 0.01 + 16 * rounding);
    // The same codes in whole bytes.
    const bounded = boundedRow(views, quantized);
    expect(bounded.y8, what).toEqual(int8Row(views, quantized));
    expect(bounded.error, what).toBe(bound);
    expect(bounded.length, what).toBeGreaterThanOrEqual(norm(bounded.y8));
    expect(bounded.length, what).toBeLessThanOrEqual((norm(y) + bound) * 1.01 + 16 * rounding);

    const z = rotate(rowOf(values, headDim, position));
    const maxValue = z.reduce((runningMax, x) => Math.max(runningMax, Math.abs(x)), 0);
    const valueStep = (maxValue / 8) * (1 + 2 ** -6);
    const valueRounding = ROTATION * norm(z) + 1e-37;
    for (const x of minus(z, int4Row(views, quantized, 'value'))) {
      expect(Math.abs(x), what).toBeLessThanOrEqual(valueStep / 2 + 2 * valueRounding);
    }
  }
}

function expectSummaries({ views }: KernelRig, pages: Pages, { headDim, keys, values, n }: HeadNumbers): void {
  const { f32, u32 } = views();
  for (let page = 0; page < Math.floor(n / PAGE_KEYS); page++) {
    const record = (u32[pages.table / 4 + page] as number) + pages.headOffset;
    const summary = (record + pages.summary) / 4;
    for (const [which, rows] of [keys, values].entries()) {
      for (let i = 0; i < headDim; i++) {
        let [sum, size] = [0, 0];
        for (let j = 0; j < PAGE_KEYS; j++) {
          const x = rows[(page * PAGE_KEYS + j) * headDim + i] as number;
          sum += x;
          size += Math.abs(x);
        }
        const mean = f32[summary + which * headDim + i] as number;
        expect(Math.abs(mean - sum / PAGE_KEYS)).toBeLessThanOrEqual(UNIT * size + 1e-44);
      }
    }
    const mean = Float64Array.from(f32.subarray(summary + headDim, summary + 2 * headDim));
    const radius = f32[summary + 2 * headDim] as number;
    let maxDistance = 0;
    for (let j = 0; j < PAGE_KEYS; j++) {
      maxDistance = Math.max(
        maxDistance,
        norm(minus(mean, Float64Array.from(rowOf(values, headDim, page * PAGE_KEYS + j)))),
      );
    }
    expect(radius).toBeGreaterThanOrEqual(maxDistance);
    expect(radius).toBeLessThanOrEqual(maxDistance * 1.00001 + 1e-40);

    for (let position = page * PAGE_KEYS; position < (page + 1) * PAGE_KEYS; position += MIN_MAX_KEYS) {
      const minMax = (record + pages.minMax) / 4 + ((position % PAGE_KEYS) / MIN_MAX_KEYS) * 2 * headDim;
      for (let i = 0; i < headDim; i++) {
        const column = Array.from({ length: MIN_MAX_KEYS }, (_, j) => keys[(position + j) * headDim + i] as number);
        expect(f32[minMax + i]).toBe(Math.min(...column) + 0);
        expect(f32[minMax + headDim + i]).toBe(Math.max(...column) + 0);
      }
    }
  }
}

export function describeQuantized(kernels: KernelsUnderTest): void {
  describe('rotate', () => {
    it.for(DIMENSIONS)('is R, and rotateBack its inverse, for d = %i', (headDim) => {
      const rig = createRig(kernels);
      const random = createRandom(headDim);
      const rows = random.normals(3 * headDim);
      const dimensions = rotatedDim(headDim);
      const [rotatedRows, unrotated] = [rig.allocate(3 * dimensions * 4 + 16), rig.allocate(3 * headDim * 4 + 16)];
      const scratch = rig.allocate(scratchBytes(1, dimensions));
      rig.kernels.rotate(rig.place(rows), 3, headDim, rotatedRows, scratch);
      for (let row = 0; row < 3; row++) {
        const truth = rotate(rowOf(rows, headDim, row));
        const actual = Float64Array.from(rig.floats(rotatedRows + row * dimensions * 4, dimensions));
        expect(norm(minus(actual, truth))).toBeLessThanOrEqual(ROTATION * norm(truth));
      }
      rig.kernels.inverseRotate(rotatedRows, 3, headDim, unrotated, scratch);
      const actual = Float64Array.from(rig.floats(unrotated, 3 * headDim));
      expect(norm(minus(actual, Float64Array.from(rows)))).toBeLessThanOrEqual(2 * ROTATION * norm(rows));
      expect(rig.floats(rotatedRows + 3 * dimensions * 4, 1)[0]).toBeNaN();
      expect(rig.floats(unrotated + 3 * headDim * 4, 1)[0]).toBeNaN();
    });
  });

  describe('quantizePage', () => {
    it.for(KEY_SHAPE_NAMES)('writes encodings of keys that are %s', (shape) => {
      for (const [headDim, precision] of [
        [8, 'f32'],
        [64, 'f16'],
        [96, 'f32'],
      ] as const) {
        const { keys, values } = keysOfShape(shape, createRandom(headDim), 200, headDim);
        const head = headOf(headDim, precision, keys, values);
        const { rig, pages, ok } = quantizeHead(kernels, head);
        expect(ok).toBe(true);
        expectQuantized(rig, pages, head, `${shape}, d ${headDim}`);
        expectSummaries(rig, pages, head);
      }
    });

    it.for(DIMENSIONS)('does so for d = %i, from the smallest halves to 2^96', (headDim) => {
      const random = createRandom(headDim);
      for (const [precision, scale] of [
        ['f16', 1],
        ['f16', 1e-7],
        ['f32', 1e-30],
        ['f32', 2 ** 90],
      ] as const) {
        const numbers = () => random.normals(128 * headDim).map((x) => x * scale);
        const head = headOf(headDim, precision, numbers(), numbers());
        const { rig, pages, ok } = quantizeHead(kernels, head);
        expect(ok).toBe(true);
        expectQuantized(rig, pages, head, `d ${headDim}, scale ${scale}`);
      }
    });

    it('refuses what is too large or no number, among keys and among values', () => {
      for (const invalid of [2 ** 97, -(2 ** 97), Number.POSITIVE_INFINITY, Number.NaN]) {
        for (const where of ['keys', 'values'] as const) {
          const head = headOf(64, 'f32', new Float32Array(64 * 64).fill(1), new Float32Array(64 * 64).fill(1));
          head[where][1234] = invalid;
          expect(quantizeHead(kernels, head).ok, `${invalid} among ${where}`).toBe(false);
        }
      }
    });

    it('leaves the exact rows and the pages of other heads alone', () => {
      const random = createRandom(3);
      const head = headOf(64, 'f16', random.normals(64 * 64), random.normals(64 * 64));
      const rig = createRig(kernels);
      const pages = rig.layOut(head, ['bounds', 'int8']);
      const slab = rig.views().u32[pages.table / 4] as number;
      const before = rig.views().u32.slice(slab / 4, (slab + pages.headOffset + pages.sign) / 4);
      rig.kernels.quantizePage(pages, 0, rig.allocate(quantizeScratchBytes(64)));
      expect(rig.views().u32.slice(slab / 4, (slab + pages.headOffset + pages.sign) / 4)).toEqual(before);
    });
  });

  describe('quantized scores', () => {
    it.for(DIMENSIONS)('are those of the dequantized keys, for d = %i', (headDim) => {
      for (const rows of [1, 3, 4]) {
        const random = createRandom(headDim + rows);
        const head = headOf(headDim, 'f16', random.normals(320 * headDim), random.normals(320 * headDim));
        const { rig, pages } = quantizeHead(kernels, head);
        const queries = random.normals(rows * headDim);
        const quantizedQuery = rig.allocate(quantizedQueryBytes(rows, headDim));
        rig.kernels.quantizeQueries(
          pages,
          rig.place(queries),
          rows,
          quantizedQuery,
          rig.allocate(scratchBytes(1, rotatedDim(headDim))),
        );
        const [from, to, stride] = [64, 256, 200];
        const scans = rig.allocate((rows * stride + 8) * 2);
        const bases = rig.allocate(rows * 8 * 4);
        const fractionBits = 6;
        const unit = Math.LN2 * 2 ** -fractionBits;
        const prepared = { address: quantizedQuery, rows, centerScores: bases, centerStride: 8 };
        rig.kernels.scanSigns(pages, from, to, prepared, fractionBits, scans, stride);
        const indices = Int32Array.of(64, 70, 71, 130, 200, 255);
        const listed = rig.allocate(rows * 8 * 4);
        rig.kernels.scoreQuantized(pages, from, rig.place(indices), indices.length, prepared, listed, 8);
        const views = rig.views();
        for (let row = 0; row < rows; row++) {
          const query = rotate(rowOf(queries, headDim, row));
          const max = query.reduce((runningMax, x) => Math.max(runningMax, Math.abs(x)), 0);
          for (let position = from; position < to; position++) {
            const quantized = quantizedKey(views, pages, position);
            const [centre, signs] = [centreOf(views, quantized), signRow(views, quantized)];
            const rounding = 100 * UNIT * norm(query) * (norm(centre) + norm(signs));
            const base = views.f32[bases / 4 + row * 8 + pagesFor(position - from + 1) - 1] as number;
            // Codes of 16 bits.
            const centreError = (max / 65_534) * centre.reduce((sum, x) => sum + Math.abs(x), 0);
            expect(Math.abs(base - dot(query, centre))).toBeLessThanOrEqual(centreError + rounding);
            // Codes of 4 bits: a step is 1/7 of the largest number, and half of it is left of each dimension. Products
            // of 16 bits are off by a unit or two, which may be doubled a few times.
            const quantizationError = (max / 14) * signs.reduce((sum, x) => sum + Math.abs(x), 0);
            const actual = (views.i16[scans / 2 + row * stride + position - from] as number) * unit;
            const truth = dot(query, centre) + dot(query, signs);
            expect(Math.abs(actual - truth)).toBeLessThanOrEqual(quantizationError + centreError + rounding + 6 * unit);
          }
          for (const [j, position] of indices.entries()) {
            const quantized = quantizedKey(views, pages, position);
            const [centre, y4] = [centreOf(views, quantized), int4Row(views, quantized, 'key')];
            const quantizationError = (max / 65_534) * y4.reduce((sum, x) => sum + Math.abs(x), 0);
            const rounding = 100 * UNIT * norm(query) * (norm(centre) + norm(y4));
            const actual = views.f32[listed / 4 + row * 8 + j] as number;
            expect(Math.abs(actual - dot(query, centre) - dot(query, y4))).toBeLessThanOrEqual(
              quantizationError + rounding,
            );
          }
        }
        // Nothing behind the keys, and nothing behind the list.
        const behind = (scans + (to - from) * 2) / 2;
        expect([...views.i16.slice(behind, behind + 4)]).toEqual([-1, -1, -1, -1]);
        expect(rig.floats(listed + indices.length * 4, 1)[0]).toBeNaN();
      }
    });
  });

  describe('boundScores', () => {
    it.for(KEY_SHAPE_NAMES)('holds for keys that are %s, whatever the query', (shape) => {
      for (const [headDim, precision, scale] of [
        [64, 'f16', 1],
        [80, 'f32', 1e-20],
        [24, 'f32', 1e10],
        [128, 'f16', 1e-3],
      ] as const) {
        const { keys, values, query } = keysOfShape(shape, createRandom(headDim), 192, headDim);
        const head = headOf(headDim, precision, keys, values);
        const { rig, pages } = quantizeHead(kernels, head);
        // Implementations may take several rows together.
        const rows = 5;
        const others = createRandom(5).normals((rows - 1) * headDim);
        const queries = Float32Array.from([...query, ...others], (x) => x * scale);
        const quantizedQuery = rig.allocate(quantizedQueryBytes(rows, headDim));
        rig.kernels.quantizeQueries(
          pages,
          rig.place(queries),
          rows,
          quantizedQuery,
          rig.allocate(scratchBytes(rows, rotatedDim(headDim))),
        );
        const norms = Float32Array.from({ length: rows }, (_, row) => norm(rowOf(queries, headDim, row)) * (1 + 1e-6));
        const [lower, upper] = [rig.allocate(rows * 192 * 4), rig.allocate(rows * 192 * 4)];
        rig.kernels.boundScores(pages, 0, 192, quantizedQuery, rig.place(norms), rows, lower, upper, 192);
        const views = rig.views();
        for (let row = 0; row < rows; row++) {
          const q = rowOf(queries, headDim, row);
          for (let position = 0; position < 192; position++) {
            const truth = dot(q, rowOf(head.keys, headDim, position));
            const low = views.f32[lower / 4 + row * 192 + position] as number;
            const high = views.f32[upper / 4 + row * 192 + position] as number;
            expect(low, shape).toBeLessThanOrEqual(truth);
            expect(high, shape).toBeGreaterThanOrEqual(truth);
            const quantized = quantizedKey(views, pages, position);
            const { y8, error } = boundedRow(views, quantized);
            const lengths = norm(centreOf(views, quantized)) + norm(y8);
            const maxWidth = 2 * norm(q) * (error * 1.01 + 3e-4 * lengths) + 1e-30;
            expect(high - low, shape).toBeLessThanOrEqual(maxWidth);
          }
        }
      }
    });
  });
}
