/**
 * Norms of keys and values: of the rows of each page, and of all pages of a cache together. Bounds on scores and on errors
 * are made of them.
 */
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
