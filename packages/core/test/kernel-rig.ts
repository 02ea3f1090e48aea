/**
 * A bench for one implementation of the kernels: an arena, with what a kernel reads laid out in it by hand. Whatever a
 * kernel has no business with holds NaN or the largest half, so that reading it shows.
 */
import { type Arena, createArena, type KernelsFactory } from '../src/cache/arena.ts';
import type { Kernels, Pages } from '../src/kernels/kernels.ts';
import { paddedRows, scratchBytes, stateBytes, stateOutputs } from '../src/kernels/kernels.ts';
import {
  type Encoding,
  type ExactPrecision,
  PAGE_KEYS,
  pageLayout,
  pagesFor,
  rowBytes,
} from '../src/kernels/layout.ts';
import type { Views } from '../src/kernels/views.ts';
import { FLOAT16_VALUES, nearestFloat16 } from './float16.ts';
import type { Random } from './random.ts';

export interface KernelsUnderTest {
  name: string;
  createKernels: KernelsFactory;
  /** Whether threads can share the memory. */
  shared: boolean;
}

/** The keys and values of one head, with the numbers that the precision keeps of them: (n, d) each. */
export interface HeadNumbers {
  headDim: number;
  precision: ExactPrecision;
  n: number;
  keys: Float32Array;
  values: Float32Array;
  /** In f16, the same as halves. */
  float16?: { keys: Uint16Array; values: Uint16Array };
}

/** The head that keeps of `keys` and `values` what the precision can. */
export function headOf(
  headDim: number,
  precision: ExactPrecision,
  keys: Float32Array,
  values: Float32Array,
): HeadNumbers {
  const n = keys.length / headDim;
  if (precision === 'f32') return { headDim, precision, n, keys, values };
  const float16 = { keys: Uint16Array.from(keys, nearestFloat16), values: Uint16Array.from(values, nearestFloat16) };
  const widen = (bits: Uint16Array) => Float32Array.from(bits, (half) => FLOAT16_VALUES[half] as number);
  return { headDim, precision, n, keys: widen(float16.keys), values: widen(float16.values), float16 };
}

/** A head of normal numbers. */
export const randomHead = (random: Random, n: number, headDim: number, precision: ExactPrecision): HeadNumbers =>
  headOf(headDim, precision, random.normals(n * headDim), random.normals(n * headDim));

/** The first n keys of a head. */
export function firstKeys(head: HeadNumbers, n: number): HeadNumbers {
  const take = <T extends Float32Array | Uint16Array>(rows: T) => rows.subarray(0, n * head.headDim) as T;
  const { float16 } = head;
  return {
    ...head,
    n,
    keys: take(head.keys),
    values: take(head.values),
    ...(float16 && { float16: { keys: take(float16.keys), values: take(float16.values) } }),
  };
}

/** Query rows for a kernel: row r sees the keys before limit + floor(r / group), or the last `window` of them. */
export interface Rows {
  /** (rows, d), scaled. */
  queries: Float32Array;
  rows: number;
  group: number;
  limit: number;
  window?: number;
  softCap?: number;
}

export interface KernelRig {
  readonly kernels: Kernels;
  readonly views: () => Views;
  /** A block full of NaN. */
  allocate(bytes: number): number;
  /** A block with these numbers at its beginning. */
  place(numbers: Float32Array | Int32Array): number;
  floats(address: number, count: number): Float32Array;
  ints(address: number, count: number): Int32Array;
  /** Lays a head out in pages, as the second of two heads, with room for `encodings`, which are not written. */
  layOut(head: HeadNumbers, encodings?: readonly Encoding[]): Pages;
  /** A state of no keys. */
  start(rows: number, headDim: number): number;
  /** Takes keys [from, to) into a state. */
  attend(pages: Pages, from: number, to: number, rows: Rows, state: number): void;
  /** Outputs (rows, d) of a state. */
  finish(state: number, rows: number, headDim: number): Float32Array;
}

/** A rig on an arena of `limit` bytes, the first `skip` of which it leaves alone. */
export function createRig({ createKernels, shared }: KernelsUnderTest, limit = 2 ** 28, skippedBytes = 0): KernelRig {
  const arena = createArena({ limit, shared, createKernels });
  if (skippedBytes > 0 && arena.allocate(skippedBytes) === undefined)
    throw new Error(`the rig has no ${skippedBytes} bytes to skip`);
  const { kernels, views } = arena;
  const allocate = (bytes: number) => allocateFilled(arena, bytes);
  return {
    kernels,
    views,
    allocate,
    place(numbers) {
      const address = allocate(numbers.length * 4);
      if (numbers instanceof Float32Array) views().f32.set(numbers, address / 4);
      else views().i32.set(numbers, address / 4);
      return address;
    },
    floats: (address, count) => views().f32.slice(address / 4, address / 4 + count),
    ints: (address, count) => views().i32.slice(address / 4, address / 4 + count),
    layOut: (head, encodings = []) => layOut(arena, head, encodings),
    start(rows, headDim) {
      const state = allocate(stateBytes(rows, headDim));
      kernels.initSoftmaxState(state, rows, headDim);
      return state;
    },
    attend(pages, from, to, { queries, ...queryRows }, state) {
      const { rows } = queryRows;
      const address = allocate(paddedRows(rows) * pages.headDim * 4);
      views().f32.set(queries, address / 4);
      const scratch = allocate(scratchBytes(rows, pages.headDim));
      kernels.attendFull(pages, from, to, { ...queryRows, address }, state, scratch);
    },
    finish(state, rows, headDim) {
      const outputs = allocate(rows * headDim * 4);
      kernels.normalize(state, rows, headDim, outputs, headDim * 4);
      return views().f32.slice(outputs / 4, outputs / 4 + rows * headDim);
    },
  };
}

/** The statistics (rows, 2) and the outputs (rows, d) of a state, as they lie there. */
export const stateNumbers = (rig: KernelRig, state: number, rows: number, headDim: number): Float32Array[] => [
  rig.floats(state, rows * 2),
  rig.floats(stateOutputs(state, rows), rows * headDim),
];

function allocateFilled(arena: Arena, bytes: number): number {
  const address = arena.allocate(bytes);
  if (address === undefined) throw new Error(`the rig has no ${bytes} bytes`);
  // Bits of a NaN in float32.
  arena.views().u32.fill(0xffffffff, address / 4, address / 4 + Math.ceil(bytes / 4));
  return address;
}

function layOut(
  arena: Arena,
  { headDim, precision, n, keys, values, float16 }: HeadNumbers,
  encodings: readonly Encoding[],
): Pages {
  const layout = pageLayout(headDim, precision, encodings);
  const headOffset = layout.bytes;
  const table = allocateFilled(arena, Math.max(1, pagesFor(n)) * 4);
  const pageNumbers = PAGE_KEYS * headDim;
  // Later pages lie before earlier ones: only the table says where.
  for (let page = pagesFor(n) - 1; page >= 0; page--) {
    const slab = allocateFilled(arena, 2 * headOffset);
    const { u32, u16, f32 } = arena.views();
    u32[table / 4 + page] = slab;
    for (const [which, floats] of [keys, values].entries()) {
      const address = slab + headOffset + which * PAGE_KEYS * rowBytes(headDim, precision);
      const [from, to] = [page * pageNumbers, Math.min((page + 1) * pageNumbers, n * headDim)];
      if (float16 === undefined) f32.set(floats.subarray(from, to), address / 4);
      else u16.set((which === 0 ? float16.keys : float16.values).subarray(from, to), address / 2);
    }
  }
  return {
    ...layout,
    table,
    headOffset,
    exactTable: table,
    exactOffset: headOffset,
    storedPrecision: precision,
    basis: 0,
  };
}
