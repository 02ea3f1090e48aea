/** Exact rows: keys and values as they came, in float16 or float32; in an int8 cache those of open pages. */
import { invariant } from '../errors.ts';
import type { ExactPrecision } from '../kernels/layout.ts';
import type { Arena } from './arena.ts';

/** The smallest number that is too large for a precision: what rounds to infinity. */
const OVERFLOW_THRESHOLD: Readonly<Record<ExactPrecision, number>> = { f16: 65_520, f32: Number.POSITIVE_INFINITY };

/** Rows of one head among those of all heads: (count, heads, d), of which `count` from row `first` on are meant. */
export interface HeadRows {
  numbers: Float32Array;
  heads: number;
  head: number;
  headDim: number;
  first: number;
  count: number;
}

/**
 * Rounds rows (count, d) into a page at `address`, by way of `staging`, which has room for a page of float32. Returns
 * the largest of their squared norms, and the sum. Throws `not-a-number` when a number is not finite in this precision.
 */
export function writeExactRows(
  arena: Arena,
  staging: number,
  address: number,
  rows: HeadRows,
  precision: ExactPrecision,
): { maxSquaredNorm: number; squaredNormSum: number } {
  const { numbers, heads, head, headDim, first, count } = rows;
  const { f32 } = arena.views();
  let maxSquaredNorm = 0;
  let squaredNormSum = 0;
  for (let row = 0; row < count; row++) {
    const from = ((first + row) * heads + head) * headDim;
    const to = staging / 4 + row * headDim;
    let squared = 0;
    for (let i = 0; i < headDim; i++) {
      const x = numbers[from + i] as number;
      f32[to + i] = x;
      squared += x * x;
    }
    if (squared > maxSquaredNorm) maxSquaredNorm = squared;
    squaredNormSum += squared;
  }
  const allFinite = arena.kernels.store(staging, address, count * headDim, precision);
  invariant(allFinite, () => ({
    code: 'not-a-number',
    problem: `Among the keys and values of head ${head} is a number that is not finite in ${precision}.`,
    found: numbers.find((x) => !(Math.abs(x) < OVERFLOW_THRESHOLD[precision])),
    remedy:
      precision === 'f16'
        ? 'Keep the cache in f32, or check the weights and activations of the model for NaN or overflow.'
        : 'Check the weights and activations of the model for NaN or overflow.',
  }));
  return { maxSquaredNorm, squaredNormSum };
}
