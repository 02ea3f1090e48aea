/**
 * The rotation before quantization: R = H S D2 H D1 of D dimensions (a multiple of 32), the same for all caches. D1 and
 * D2 flip signs, H is the Walsh-Hadamard transform of consecutive blocks of b dimensions, b the largest power of two
 * that divides D, and S moves dimension i of block j to place i (D / b) + j, so that with several blocks the second H
 * mixes what the first kept apart. R is orthogonal. It spreads outlier dimensions over all of them, so that signs and
 * 4-bit numbers lose little (RaBitQ, arXiv 2405.12497; QuIP#, arXiv 2402.04396). Here in float64; kernels rotate in
 * float32.
 */
import { rotatedDim } from './layout.ts';
import { at } from './views.ts';

/** b: the largest power of two that divides D. */
const rotationBlock = (dimensions: number): number => dimensions & -dimensions;

/** -1 or 1: the sign that D1 (`round` 0) or D2 (`round` 1) gives to dimension i, by the finaliser of MurmurHash3. */
export function rotationSign(i: number, round: 0 | 1): number {
  let hash = Math.imul(i + 1 + 256 * round, 0x9e3779b1);
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  hash ^= hash >>> 16;
  return hash & 1 ? -1 : 1;
}

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
