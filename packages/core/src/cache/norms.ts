/**
 * Norms of keys and values: of the rows of each page, and of all pages of a cache together. Bounds on scores and on errors
 * are made of them.
 */
import { rotatedDim } from '../kernels/layout.ts';
import type { CacheShape } from './shape.ts';

/**
 * For each head (layers, keyValueHeads, 4): the largest squared norms of keys and of values, the sum of the values' squared
 * norms, and their number.
 */
export type PageNorms = Float64Array;

/** Bounds on the norms of the keys and values of one head: none in the cache is larger. */
export interface HeadNorms {
  keys: number;
  values: number;
  /** Root mean square of the norms of all values that were written since the cache was empty: for estimates. */
  rmsValue: number;
}

const NUMBERS = 4;

export const noNorms = ({ layers, keyValueHeads }: CacheShape): PageNorms =>
  new Float64Array(layers * keyValueHeads * NUMBERS);

/** Adds rows of one head, keys or values. */
export function addRows(
  norms: PageNorms,
  headIndex: number,
  what: 'keys' | 'values',
  rows: { count: number; maxSquaredNorm: number; squaredNormSum: number },
): void {
  const at = headIndex * NUMBERS;
  const max = what === 'keys' ? at : at + 1;
  norms[max] = Math.max(norms[max] as number, rows.maxSquaredNorm);
  if (what === 'keys') return;
  norms[at + 2] = (norms[at + 2] as number) + rows.squaredNormSum;
  norms[at + 3] = (norms[at + 3] as number) + rows.count;
}

/** Adds the norms of other rows to `norms`. */
export function addNorms(norms: PageNorms, others: PageNorms): void {
  for (let at = 0; at < norms.length; at += NUMBERS) {
    norms[at] = Math.max(norms[at] as number, others[at] as number);
    norms[at + 1] = Math.max(norms[at + 1] as number, others[at + 1] as number);
    norms[at + 2] = (norms[at + 2] as number) + (others[at + 2] as number);
    norms[at + 3] = (norms[at + 3] as number) + (others[at + 3] as number);
  }
}

/** Forgets the rows of one head. */
export function forgetRows(norms: PageNorms, headIndex: number, what: 'keys' | 'values'): void {
  const at = headIndex * NUMBERS;
  if (what === 'keys') norms[at] = 0;
  else norms.fill(0, at + 1, at + NUMBERS);
}

/** Rounding to float16 may lengthen a row by a factor of 1 + 2^-11; subnormals by 2^-25 a number. */
const ROUNDING_MARGIN = 1 + 2 ** -10;
const SUBNORMAL_MARGIN = 2 ** -20;

/**
 * Factors by which storing may lengthen keys and values, relative to the longest. An int8 row y is off by half a step of
 * max |y| / 128 in each dimension, the step rounded up by 2^-7. Keys are stored relative to a centre, their mean in 127
 * steps, so their y is at most twice as long as the longest key, plus what rounding added to that.
 */
function roundingMargins({ headDim, precision }: CacheShape): { keys: number; values: number } {
  if (precision !== 'int8') return { keys: ROUNDING_MARGIN, values: ROUNDING_MARGIN };
  const sqrtDim = Math.sqrt(rotatedDim(headDim));
  const quantizationError = ((1 + 2 ** -7) * sqrtDim) / 256;
  const centerError = sqrtDim / 254;
  return {
    keys: (1 + quantizationError * (2 + centerError)) * ROUNDING_MARGIN,
    values: (1 + quantizationError) * ROUNDING_MARGIN,
  };
}

/** Bounds on the norms of the keys and values of a head, as they are stored, from those of what was written. */
export function headNorms(shape: CacheShape, norms: PageNorms, headIndex: number): HeadNorms {
  // By index: every layer of every token asks.
  const at = headIndex * NUMBERS;
  const margins = marginsOf(shape);
  return {
    keys: Math.sqrt(norms[at] as number) * margins.keys + SUBNORMAL_MARGIN,
    values: Math.sqrt(norms[at + 1] as number) * margins.values + SUBNORMAL_MARGIN,
    rmsValue: Math.sqrt((norms[at + 2] as number) / Math.max(1, norms[at + 3] as number)),
  };
}

const margins = new WeakMap<CacheShape, ReturnType<typeof roundingMargins>>();

/** The margins of a shape, computed once. */
function marginsOf(shape: CacheShape): ReturnType<typeof roundingMargins> {
  const cached = margins.get(shape) ?? roundingMargins(shape);
  margins.set(shape, cached);
  return cached;
}
