/** What float16 keeps of a number: for every float16 that there is, and the floats around it. */
import { describe, expect, it } from 'vitest';
import { FLOAT16_INFINITY, FLOAT16_VALUES, nearestFloat16 } from '../../../test/float16.ts';
import { createRig, type KernelRig, type KernelsUnderTest } from '../../../test/kernel-rig.ts';
import { createRandom } from '../../../test/random.ts';
import { scratchBytes, stateOutputs } from '../kernels.ts';
import { exactPageBytes, pageLayout } from '../layout.ts';

/** Bits of all finite halves, of both signs. */
const FINITE_BITS = Array.from({ length: 65_536 }, (_, bits) => bits).filter(
  (bits) => bits % 0x8000 < FLOAT16_INFINITY,
);

export function describeFloat16(kernels: KernelsUnderTest): void {
  describe('store', () => {
    it('keeps every half as it is, in f16', () => {
      const { stored, halves } = storeFloat16(createRig(kernels), floatsOf(FINITE_BITS));
      expect(stored).toBe(true);
      expect(halves).toEqual(Uint16Array.from(FINITE_BITS));
    });

    it('rounds the middle between two halves to the even one, and its neighbours to the nearer', () => {
      const floats: number[] = [];
      for (let bits = 0; bits < FLOAT16_INFINITY - 1; bits++) {
        // 12 significant bits, exact in float32.
        const middle = ((FLOAT16_VALUES[bits] as number) + (FLOAT16_VALUES[bits + 1] as number)) / 2;
        floats.push(middle, nextFloat(middle, 1), nextFloat(middle, -1));
      }
      const both = Float32Array.from([...floats, ...floats.map((x) => -x)]);
      const { stored, halves, count } = storeFloat16(createRig(kernels), both);
      expect(stored).toBe(true);
      expect(halves.subarray(0, count)).toEqual(Uint16Array.from(both, nearestFloat16));
    });

    it('rounds random floats of every exponent, the smallest floats and both zeros', () => {
      const random = createRandom(21);
      const floats = Float32Array.from({ length: 10_000 }, () => random.normal() * 2 ** (random.below(45) - 32));
      floats.set([
        0,
        -0,
        2 ** -149,
        -(2 ** -149),
        2 ** -126,
        2 ** -25,
        -(2 ** -25),
        nextFloat(2 ** -25, 1),
        65_519.996,
      ]);
      const finite = floats.filter((x) => Math.abs(x) < 65_520);
      const { stored, halves, count } = storeFloat16(createRig(kernels), finite);
      expect(stored).toBe(true);
      expect(halves.subarray(0, count)).toEqual(Uint16Array.from(finite, nearestFloat16));
    });

    it.for([
      65_520,
      -65_520,
      65_536,
      1e30,
      3.4028234663852886e38,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      Number.NaN,
    ])('refuses %f in f16, wherever it stands', (invalid) => {
      for (let at = 0; at < 16; at++) {
        expect(storeFloat16(createRig(kernels), numbersWith(invalid, at)).stored, `at ${at}`).toBe(false);
      }
    });

    it('copies floats as they are, in f32, and refuses only what is not finite', () => {
      const rig = createRig(kernels);
      const floats = Float32Array.of(0, -0, 1e-45, -1e-38, 65_520, 3.4028234663852886e38, -1, 1 / 3);
      const to = rig.allocate(32);
      expect(rig.kernels.store(rig.place(floats), to, 8, 'f32')).toBe(true);
      expect(rig.floats(to, 8)).toEqual(floats);
      for (const invalid of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        for (let at = 0; at < 16; at++) {
          expect(rig.kernels.store(rig.place(numbersWith(invalid, at)), rig.allocate(64), 16, 'f32'), `at ${at}`).toBe(
            false,
          );
        }
      }
    });

    it('writes as many numbers as it was asked to', () => {
      for (const [precision, bytes] of [
        ['f16', 2],
        ['f32', 4],
      ] as const) {
        const rig = createRig(kernels);
        const to = rig.allocate(40 * bytes);
        rig.kernels.store(rig.place(new Float32Array(40)), to, 24, precision);
        const written = new Uint8Array(rig.views().f32.buffer, to, 40 * bytes);
        expect(written.subarray(0, 24 * bytes).every((byte) => byte === 0)).toBe(true);
        expect(written.subarray(24 * bytes).every((byte) => byte === 255)).toBe(true);
      }
    });
  });

  // The numbers of a page are seen through attention: a single key's output is its value, and its score with a unit
  // vector is one of its numbers.
  describe('reading', () => {
    const headDim = 256;
    // The slow kernels have one way to read a number; of them every eighth row is asked.
    const rowsOfHalves = Array.from({ length: FINITE_BITS.length / headDim }, (_, i) =>
      Uint16Array.from(FINITE_BITS.slice(i * headDim, (i + 1) * headDim)),
    ).filter((_, i) => kernels.name !== 'reference' || i % 8 === 7);

    it('widens every half as a value, of a key selected and of a key among rows', () => {
      const rig = createRig(kernels);
      const query = rig.place(new Float32Array(headDim));
      const scratch = rig.allocate(scratchBytes(16, headDim));
      const state = rig.start(16, headDim);
      const index = rig.place(Int32Array.of(0));
      for (const halves of rowsOfHalves) {
        const pages = onePage(rig, new Uint16Array(headDim), halves);
        rig.kernels.initSoftmaxState(state, 1, headDim);
        rig.kernels.attendSelected(pages, index, 1, query, state, scratch);
        expectNumbers(rig.floats(stateOutputs(state, 1), headDim), halves);
        for (const rows of [1, 16]) {
          rig.kernels.initSoftmaxState(state, rows, headDim);
          rig.attend(pages, 0, 1, { queries: new Float32Array(rows * headDim), rows, group: rows, limit: 1 }, state);
          expectNumbers(rig.floats(stateOutputs(state, rows), headDim), halves);
        }
      }
    });

    it('widens every half as a key, row by row and by tiles', () => {
      const rig = createRig(kernels);
      const units = new Float32Array(headDim * headDim);
      for (let i = 0; i < headDim; i++) units[i * headDim + i] = 1;
      const queries = rig.place(units);
      const scores = rig.allocate(headDim * 4);
      const scratch = rig.allocate(scratchBytes(headDim, headDim));
      const state = rig.start(headDim, headDim);
      for (const halves of rowsOfHalves) {
        const pages = onePage(rig, halves, new Uint16Array(headDim));
        rig.kernels.scoreKeys(pages, 0, 1, queries, headDim, scores, 1, scratch);
        expectNumbers(rig.floats(scores, headDim), halves);
        const rows = { address: queries, rows: headDim, group: headDim, limit: 1 };
        rig.kernels.initSoftmaxState(state, headDim, headDim);
        rig.kernels.attendFull(pages, 0, 1, rows, state, scratch);
        expectNumbers(
          rig.floats(state, 2 * headDim).filter((_, at) => at % 2 === 0),
          halves,
        );
      }
    });

    /** A page of one key, the other rows zero, at the same place each time. */
    let page: { rig: KernelRig; table: number; slab: number } | undefined;
    function onePage(rig: KernelRig, key: Uint16Array, value: Uint16Array) {
      const bytes = exactPageBytes(headDim, 'f16');
      if (page?.rig !== rig) {
        const slab = rig.allocate(bytes);
        page = { rig, slab, table: rig.place(Int32Array.of(slab)) };
      }
      const { slab, table } = page;
      rig.views().u16.fill(0, slab / 2, (slab + bytes) / 2);
      rig.views().u16.set(key, slab / 2);
      rig.views().u16.set(value, (slab + bytes / 2) / 2);
      const at = { table, headOffset: 0, exactTable: table, exactOffset: 0 };
      return { ...pageLayout(headDim, 'f16'), ...at, storedPrecision: 'f16' as const, basis: 0 };
    }
  });
}

const floatsOf = (bits: readonly number[]) => Float32Array.from(bits, (half) => FLOAT16_VALUES[half] as number);

/** Compares with the numbers that halves stand for; a zero may have lost its sign in a sum. */
function expectNumbers(actual: Float32Array, halves: Uint16Array): void {
  expect(actual.map((x) => x + 0)).toEqual(Float32Array.from(halves, (half) => (FLOAT16_VALUES[half] as number) + 0));
}

function storeFloat16(rig: KernelRig, floats: Float32Array) {
  const count = Math.ceil(floats.length / 8) * 8;
  const padded = new Float32Array(count);
  padded.set(floats);
  const to = rig.allocate(count * 2);
  const stored = rig.kernels.store(rig.place(padded), to, count, 'f16');
  return { stored, count: floats.length, halves: rig.views().u16.slice(to / 2, to / 2 + count) };
}

function numbersWith(invalid: number, at: number): Float32Array {
  const numbers = new Float32Array(16).fill(1);
  numbers[at] = invalid;
  return numbers;
}

/** The float32 next to x > 0, above or below. */
function nextFloat(x: number, step: 1 | -1): number {
  const float = Float32Array.of(x);
  const bits = new Int32Array(float.buffer);
  bits[0] = (bits[0] as number) + step;
  return float[0] as number;
}
