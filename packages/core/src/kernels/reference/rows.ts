/** What the reference kernels share: where a page lies, products of rows, and a running softmax that takes weights and values. */
import type { Pages } from '../kernels.ts';
import type { Views } from '../views.ts';

export const at = (array: ArrayLike<number>, index: number): number => array[index] as number;

/** Address of this head's record of a page. */
export const recordAddress = ({ u32 }: Views, pages: Pages, page: number): number =>
  at(u32, pages.table / 4 + page) + pages.headOffset;

/** The floats (count) at `address`, in float64. */
export const floatsAt = ({ f32 }: Views, address: number, count: number): Float64Array =>
  Float64Array.from(f32.subarray(address / 4, address / 4 + count));

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < b.length; i++) sum += at(a, i) * at(b, i);
  return sum;
}

export const norm = (x: ArrayLike<number>): number => Math.sqrt(dot(x, x));

/**
 * Takes keys with these log-weights into one row's running softmax, its statistics (2) and its output (dimensions).
 * `valueAt(index)` is the value (dimensions) of the key with weight `index`.
 */
export function accumulateSoftmax(
  { f32 }: Views,
  logWeights: ArrayLike<number>,
  valueAt: (index: number) => ArrayLike<number>,
  statistics: number,
  output: number,
  dimensions: number,
): void {
  const previousMax = at(f32, statistics / 4);
  let max = previousMax;
  for (let j = 0; j < logWeights.length; j++) max = Math.max(max, at(logWeights, j));
  if (max === Number.NEGATIVE_INFINITY) return;
  const shrink = previousMax === max ? 1 : Math.exp(previousMax - max);
  let sum = at(f32, statistics / 4 + 1) * shrink;
  const outputs = Float64Array.from(f32.subarray(output / 4, output / 4 + dimensions), (x) => x * shrink);
  for (let j = 0; j < logWeights.length; j++) {
    const weight = Math.exp(at(logWeights, j) - max);
    const value = valueAt(j);
    sum += weight;
    for (let i = 0; i < dimensions; i++) outputs[i] = at(outputs, i) + weight * at(value, i);
  }
  f32[statistics / 4] = max;
  f32[statistics / 4 + 1] = sum;
  f32.set(outputs, output / 4);
}
