/** Exact attention to rows that are kept by their int8 codes alone: every kernel that reads rows, over such pages. */
import { describe, expect, it } from 'vitest';
import {
  createRig,
  type HeadNumbers,
  headOf,
  type KernelRig,
  type KernelsUnderTest,
  type Rows,
} from '../../../test/kernel-rig.ts';
import { KEY_SHAPE_NAMES, keysOfShape } from '../../../test/key-shapes.ts';
import { attention64, distance, positionsBelow, score64 } from '../../../test/plain-attention.ts';
import { createRandom, type Random } from '../../../test/random.ts';
import { exactRow } from '../exact-rows.ts';
import { type Pages, paddedRows, scratchBytes } from '../kernels.ts';
import { ENCODINGS, MIN_MAX_KEYS, PAGE_KEYS, pageLayout, rotatedDim } from '../layout.ts';
import { quantizeScratchBytes } from '../quantized-kernels.ts';
import { dequantizedRow, quantizedKey } from '../quantized-rows.ts';
import { rotate } from '../rotation.ts';
import { expectAccurate, UNIT } from './accuracy.ts';

const DIMENSIONS = [8, 40, 64, 80, 128, 256];
/** Dimensions for the slow kernels. */
const SLOW_DIMENSIONS = [24, 64];
const N = 3 * PAGE_KEYS;

/** Keys and values (n, d). */
interface Rows64 {
  keys: Float64Array;
  values: Float64Array;
}

/** The dequantized rows; `plain` has them in float32 arithmetic. */
interface Contents extends Rows64 {
  headDim: number;
  n: number;
  plain: Rows64;
}

interface Int8Head {
  rig: KernelRig;
  pages: Pages;
  head: Contents;
}

/** Quantizes a head of full pages, and keeps int8 alone. */
function int8Head(kernels: KernelsUnderTest, written: HeadNumbers): Int8Head {
  const { headDim, n } = written;
  const rig = createRig(kernels, 2 ** 25);
  const exactPages = rig.layOut(written);
  const layout = pageLayout(headDim, 'int8', ENCODINGS);
  const table = rig.place(new Int32Array(n / PAGE_KEYS));
  for (let page = 0; page < n / PAGE_KEYS; page++) {
    const record = rig.allocate(2 * layout.bytes);
    rig.views().u32[table / 4 + page] = record;
  }
  const at = { table, headOffset: layout.bytes, storedPrecision: 'int8', basis: 0 } as const;
  const scratch = rig.allocate(quantizeScratchBytes(headDim));
  for (let page = 0; page < n / PAGE_KEYS; page++) {
    const { exactTable, exactOffset } = exactPages;
    const ok = rig.kernels.quantizePage({ ...layout, ...at, precision: 'f32', exactTable, exactOffset }, page, scratch);
    expect(ok).toBe(true);
    // What no kernel may read any more.
    const rows = (rig.views().u32[exactTable / 4 + page] as number) + exactOffset;
    rig.views().f32.fill(Number.NaN, rows / 4, rows / 4 + 2 * PAGE_KEYS * headDim);
  }
  const pages: Pages = { ...layout, ...at, exactTable: table, exactOffset: layout.bytes };
  const contents = (rowOf: (what: 'keys' | 'values', position: number) => ArrayLike<number>): Rows64 => {
    const rows = { keys: new Float64Array(n * headDim), values: new Float64Array(n * headDim) };
    for (const what of ['keys', 'values'] as const) {
      for (let j = 0; j < n; j++) rows[what].set(rowOf(what, j), j * headDim);
    }
    return rows;
  };
  const plain = contents((what, j) => {
    const key = quantizedKey(rig.views(), pages, j);
    return inverseRotate32(dequantizedRow(rig.views(), key, what === 'keys' ? 'key' : 'value'), headDim);
  });
  return { rig, pages, head: { headDim, n, ...contents((what, j) => exactRow(rig.views(), pages, what, j)), plain } };
}

/** R^T x in plain float32: a product with the matrix, column after column. */
function inverseRotate32(row: Float64Array, headDim: number): Float32Array {
  const sum = new Float32Array(headDim);
  for (const [j, column] of rotationOf(headDim).entries()) {
    const x = Math.fround(row[j] as number);
    for (let i = 0; i < headDim; i++) {
      sum[i] = Math.fround((sum[i] as number) + Math.fround(x * (column[i] as number)));
    }
  }
  return sum;
}

/** The rows of R (D, d), rounded to float32. */
const rotationOf = memoize((headDim: number): Float32Array[] => {
  const columns = Array.from({ length: headDim }, (_, i) => {
    const unit = new Float32Array(headDim);
    unit[i] = 1;
    return rotate(unit);
  });
  return Array.from({ length: rotatedDim(headDim) }, (_, j) =>
    Float32Array.from(columns, (column) => column[j] as number),
  );
});

function memoize<T>(make: (key: number) => T): (key: number) => T {
  const cache = new Map<number, T>();
  return (key) => {
    const value = cache.get(key) ?? make(key);
    cache.set(key, value);
    return value;
  };
}

/** Throws unless outputs are within twice the error of plain float32, which has to turn the rows back first. */
function expectRowsAccurate(outputs: Float32Array, head: Contents, rows: Rows, what: string, list?: Int32Array): void {
  expectListsAccurate(
    outputs,
    head,
    rows,
    what,
    Array.from(
      { length: rows.rows },
      (_, row) => list ?? positionsBelow(Math.min(head.n, rows.limit + Math.floor(row / rows.group))),
    ),
  );
}

function expectListsAccurate(
  outputs: Float32Array,
  head: Contents,
  rows: Rows,
  what: string,
  visible: readonly Int32Array[],
): void {
  const problem = { headDim: head.headDim, queries: rows.queries, visible };
  expectAccurate(outputs, { ...problem, ...head }, what, { ...problem, ...head.plain });
}

const randomInt8 = (kernels: KernelsUnderTest, random: Random, headDim: number, n = N): Int8Head =>
  int8Head(kernels, headOf(headDim, 'f32', random.normals(n * headDim), random.normals(n * headDim)));

const queryRows = (random: Random, rows: number, group: number, headDim: number, limit: number): Rows => ({
  queries: random.normals(rows * headDim, 1.5 / Math.sqrt(headDim)),
  rows,
  group,
  limit,
});

const scratchFor = (rig: KernelRig, rows: number, headDim: number) => rig.allocate(scratchBytes(rows, headDim, 'int8'));

/** Places query rows, with room for their number rounded up to 4. */
function placeRows(rig: KernelRig, { queries, rows }: Rows, headDim: number): number {
  const address = rig.allocate(paddedRows(rows) * headDim * 4);
  rig.views().f32.set(queries, address / 4);
  return address;
}

const LISTS = [[5], [0, 63, 64, 128, N - 1], Array.from({ length: 150 }, (_, i) => i + 3)];

export function describeInt8Rows(kernels: KernelsUnderTest): void {
  describe.for(kernels.name === 'reference' ? SLOW_DIMENSIONS : DIMENSIONS)('int8 rows of %i', (headDim) => {
    it('are what the codes stand for, within half a step of what was written', () => {
      const random = createRandom(headDim);
      const [keys, values] = [random.normals(N * headDim), random.normals(N * headDim)];
      const { rig, pages, head } = int8Head(kernels, headOf(headDim, 'f32', keys, values));
      const dimensions = rotatedDim(headDim);
      const positions = Int32Array.from([0, 1, 70, 63, 64, N - 1, N - 1]);
      const list = rig.place(positions);
      for (const what of ['keys', 'values'] as const) {
        const destination = rig.allocate(positions.length * dimensions * 4);
        rig.kernels.dequantizeRows(pages, what, list, positions.length, destination, rig.allocate(dimensions * 4));
        for (const [i, position] of positions.entries()) {
          const row = rig.floats(destination + i * dimensions * 4, dimensions);
          const truth = dequantizedRow(
            rig.views(),
            quantizedKey(rig.views(), pages, position),
            what === 'keys' ? 'key' : 'value',
          );
          const written = rotate(
            (what === 'keys' ? keys : values).subarray(position * headDim, (position + 1) * headDim),
          );
          const max = truth.reduce((runningMax, x) => Math.max(runningMax, Math.abs(x)), 0);
          for (let j = 0; j < dimensions; j++) {
            expect(Math.abs((row[j] as number) - (truth[j] as number))).toBeLessThanOrEqual(4 * UNIT * max);
            // A key's numbers are taken from the centre, and that has no more than a sixth of what is largest here.
            expect(Math.abs((truth[j] as number) - (written[j] as number))).toBeLessThanOrEqual((1.3 * max) / 256);
          }
        }
      }
      expect(head.keys.every(Number.isFinite) && head.values.every(Number.isFinite)).toBe(true);
    });

    it('are attended to densely by 1 to 8 rows, and by blocks', () => {
      const random = createRandom(headDim + 1);
      const { rig, pages, head } = randomInt8(kernels, random, headDim);
      for (const [rows, group, limit] of [
        [1, 1, N],
        [3, 3, 150],
        [8, 8, 64],
        [36, 3, 100],
        [20, 1, N - 19],
      ] as const) {
        const request = queryRows(random, rows, group, headDim, limit);
        const state = rig.start(rows, headDim);
        const to = Math.min(N, limit + Math.ceil(rows / group) - 1);
        const queries = { address: placeRows(rig, request, headDim), rows, group, limit };
        rig.kernels.attendFull(pages, 0, to, queries, state, scratchFor(rig, rows, headDim));
        expectRowsAccurate(rig.finish(state, rows, headDim), head, request, `${rows} rows, limit ${limit}`);
      }
    });

    it('are attended to by lists: alone, with weights, and by a block', () => {
      const random = createRandom(headDim + 2);
      const { rig, pages, head } = randomInt8(kernels, random, headDim);
      for (const numbers of LISTS) {
        const list = Int32Array.from(numbers);
        const what = `${list.length} keys`;
        const single = queryRows(random, 1, 1, headDim, N);
        const state = rig.start(1, headDim);
        const indices = rig.place(list);
        const scratch = scratchFor(rig, 12, headDim);
        rig.kernels.attendSelected(pages, indices, list.length, placeRows(rig, single, headDim), state, scratch);
        expectRowsAccurate(rig.finish(state, 1, headDim), head, single, what, list);

        const three = queryRows(random, 3, 3, headDim, N);
        const scores = rig.allocate(3 * (N + 16) * 4);
        const weighted = rig.start(3, headDim);
        const queries = placeRows(rig, three, headDim);
        rig.kernels.scoreSelected(pages, indices, list.length, queries, 3, scores, N + 16, scratch);
        rig.kernels.addValues(pages, indices, list.length, scores, N + 16, 3, weighted, scratch);
        expectRowsAccurate(rig.finish(weighted, 3, headDim), head, three, `${what}, weighted`, list);

        // Every other key for the second row.
        const masks = rig.place(list.map((_, j) => (j % 2 === 0 ? 7 : 5)));
        const masked = rig.start(3, headDim);
        rig.kernels.attendMasked(pages, indices, masks, list.length, queries, 3, masked, scratch);
        const alternate = list.filter((_, j) => j % 2 === 0);
        const lists = [list, alternate, list];
        expectListsAccurate(rig.finish(masked, 3, headDim), head, three, `${what}, masked`, lists);

        const block = queryRows(random, 12, 3, headDim, N);
        const gathered = rig.start(12, headDim);
        const biases = rig.place(new Float32Array(N + 8));
        const rows = placeRows(rig, block, headDim);
        rig.kernels.attendGathered(pages, indices, list.length, biases, rows, 12, gathered, scratch);
        const outputs = rig.finish(gathered, 12, headDim);
        const visible = Array.from({ length: 12 }, () => list);
        const truth = attention64({ headDim, queries: block.queries, keys: head.keys, values: head.values, visible });
        const max = head.values.reduce((runningMax, x) => Math.max(runningMax, Math.abs(x)), 0);
        // Blocks are multiplied as 16-bit codes of queries, keys, weights and values: see `conformance/gathered.ts`.
        expect(distance(outputs, truth.outputs).max, `${what}, a block`).toBeLessThan(2e-3 * max);
      }
    });

    it('are scored', () => {
      const random = createRandom(headDim + 3);
      const { rig, pages, head } = randomInt8(kernels, random, headDim);
      const request = queryRows(random, 5, 5, headDim, N);
      const problem = { headDim, queries: request.queries, visible: [], keys: head.keys, values: head.values };
      for (const [from, to] of [
        [0, 150],
        [128, 129],
      ] as const) {
        const scores = rig.allocate(5 * 300 * 4);
        const queries = placeRows(rig, request, headDim);
        rig.kernels.scoreKeys(pages, from, to, queries, 5, scores, 300, scratchFor(rig, 5, headDim));
        for (let row = 0; row < 5; row++) {
          const actual = rig.floats(scores + row * 300 * 4, to - from);
          for (const [i, score] of actual.entries()) {
            const truth = score64(problem, row, from + i);
            const norms =
              Math.hypot(...request.queries.subarray(row * headDim, (row + 1) * headDim)) * 2 * Math.sqrt(headDim);
            expect(Math.abs(score - truth)).toBeLessThanOrEqual((headDim / 4 + 40) * UNIT * norms);
          }
        }
      }
    });
  });

  it.for(KEY_SHAPE_NAMES)('int8 rows of keys that are %s lie within the minMax of their page', (shape) => {
    const headDim = 64;
    const { keys, values } = keysOfShape(shape, createRandom(9), PAGE_KEYS, headDim);
    const { rig, pages, head } = int8Head(kernels, headOf(headDim, 'f32', keys, values));
    const { u32, f32 } = rig.views();
    for (let position = 0; position < PAGE_KEYS; position++) {
      const row = head.keys.subarray(position * headDim, (position + 1) * headDim);
      const record = (u32[pages.table / 4 + Math.floor(position / PAGE_KEYS)] as number) + pages.headOffset;
      const box = (record + pages.minMax) / 4 + Math.floor((position % PAGE_KEYS) / MIN_MAX_KEYS) * 2 * headDim;
      for (let i = 0; i < headDim; i++) {
        const x = row[i] as number;
        expect(x).toBeGreaterThanOrEqual(f32[box + i] as number);
        expect(x).toBeLessThanOrEqual(f32[box + headDim + i] as number);
      }
    }
  });
}
