/** What the reference kernels share: addresses of pages, products of rows, and a running softmax. */
import { at, type Views } from '../views.ts';

/** The floats (count) at `address`, in float64. */
export const floatsAt = ({ f32 }: Views, address: number, count: number): Float64Array =>
  Float64Array.from(f32.subarray(address / 4, address / 4 + count));

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < b.length; i++) sum += at(a, i) * at(b, i);
  return sum;
}

/** ln of the sum of e^x; -infinity for an empty list. */
export function logSumExpOf(list: readonly number[]): number {
  const max = list.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  return max === Number.NEGATIVE_INFINITY ? max : max + Math.log(list.reduce((sum, x) => sum + Math.exp(x - max), 0));
}

export const norm = (x: ArrayLike<number>): number => Math.sqrt(dot(x, x));

/**
 * Adds keys with these log-weights to one row's running softmax: `statistics` (max, sum) and `output` (dimensions).
 * `valueAt(index)` is the value (dimensions) of the key that has log-weight number `index`.
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
