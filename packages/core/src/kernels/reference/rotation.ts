/** The rotation R = H S D2 H D1 of `../rotation.ts` and its inverse, in float64. */
import { rotatedDim } from '../layout.ts';
import { rotationBlock, rotationSign } from '../rotation.ts';
import { at } from './rows.ts';

/** R x (D) of a row x (d). */
export function rotate(row: ArrayLike<number>): Float64Array {
  const dimensions = rotatedDim(row.length);
  const x = new Float64Array(dimensions);
  x.set(row);
  flip(x, 0);
  transform(x);
  flip(x, 1);
  const moved = Float64Array.from(x);
  for (let i = 0; i < dimensions; i++) moved[placeOf(i, dimensions)] = at(x, i);
  transform(moved);
  return scaled(moved);
}

/** The first d numbers of R^T x, of a row x (D). R is orthogonal, and H its own inverse. */
export function inverseRotate(row: ArrayLike<number>, headDim: number): Float64Array {
  const dimensions = row.length;
  const moved = Float64Array.from(row);
  transform(moved);
  const x = moved.map((_, i) => at(moved, placeOf(i, dimensions)));
  flip(x, 1);
  transform(x);
  flip(x, 0);
  return scaled(x).subarray(0, headDim);
}

/** Where S moves dimension `i`. */
function placeOf(i: number, dimensions: number): number {
  const block = rotationBlock(dimensions);
  return (i % block) * (dimensions / block) + Math.floor(i / block);
}

function flip(x: Float64Array, round: 0 | 1): void {
  for (let i = 0; i < x.length; i++) x[i] = at(x, i) * rotationSign(i, round);
}

/** The Walsh-Hadamard transform of each block, by butterflies, larger than H by the root of a block. */
function transform(x: Float64Array): void {
  const block = rotationBlock(x.length);
  for (let half = 1; half < block; half *= 2) {
    for (let i = 0; i < x.length; i++) {
      if (i & half) continue;
      const [a, b] = [at(x, i), at(x, i + half)];
      x[i] = a + b;
      x[i + half] = a - b;
    }
  }
}

/** Brings two transforms back to the length of the row: 1 / b is a power of two, so nothing is rounded. */
const scaled = (x: Float64Array): Float64Array => x.map((number) => number / rotationBlock(x.length));
