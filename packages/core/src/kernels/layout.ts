/**
 * How keys and values lie in memory, which kernels and cache agree on. A page is 64 consecutive keys, the unit of
 * allocation, of summaries and of saving. In the exact plane the page of one head is its key rows (64, d) followed by
 * its value rows (64, d), in float16 or float32.
 */

export const PAGE_KEYS = 64;

/** How the exact plane keeps its numbers: IEEE 754 binary16, or binary32. */
export type Precision = 'f16' | 'f32';

export const PRECISIONS: readonly Precision[] = ['f16', 'f32'];

/** Pages that hold n keys. */
export const pagesFor = (n: number): number => Math.ceil(n / PAGE_KEYS);

/** Bytes of one row of d numbers. */
export const rowBytes = (headDim: number, precision: Precision): number => headDim * (precision === 'f16' ? 2 : 4);

/** Bytes of one head's page: keys and values. */
export const exactPageBytes = (headDim: number, precision: Precision): number =>
  2 * PAGE_KEYS * rowBytes(headDim, precision);
