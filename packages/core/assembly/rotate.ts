/**
 * The rotation R = H S D2 H D1 of src/kernels/rotation.ts, on rows of D floats in place. H is done by butterflies,
 * which multiply by the root of a block b; two of them multiply by b, a power of two, which is divided out at the end.
 */
import { ROTATION_MULTIPLE } from './generated';

/** D: d rounded up to a multiple of `ROTATION_MULTIPLE`. */
@inline
export function rotatedDim(d: i32): i32 {
  return (d + ROTATION_MULTIPLE - 1) & ~(ROTATION_MULTIPLE - 1);
}

/** b: the largest power of two that divides D. */
@inline
function blockOf(D: i32): i32 {
  return D & -D;
}

/** The sign bits that D1 (`round` 0) or D2 (`round` 1) flips of dimensions i to i + 3. */
@inline
function signBits(i: i32, round: i32): v128 {
  let hash = i32x4.mul(
    i32x4.add(i32x4.splat(i + 1 + 256 * round), i32x4(0, 1, 2, 3)),
    i32x4.splat(0x9e3779b1),
  );
  hash = v128.xor(hash, i32x4.shr_u(hash, 16));
  hash = i32x4.mul(hash, i32x4.splat(0x85ebca6b));
  hash = v128.xor(hash, i32x4.shr_u(hash, 13));
  hash = i32x4.mul(hash, i32x4.splat(0xc2b2ae35));
  hash = v128.xor(hash, i32x4.shr_u(hash, 16));
  return i32x4.shl(hash, 31);
}

/** Writes the sign bits of D1 and D2, (2, D) of uint32. */
export function storeSignBits(D: i32, destination: usize): void {
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < D; i += 4) {
      v128.store(destination, signBits(i, round));
      destination += 16;
    }
  }
}

@inline
function flip(row: usize, D: i32, bits: usize): void {
  for (let i: usize = 0; i < <usize>D << 2; i += 16) {
    v128.store(row + i, v128.xor(v128.load(row + i), v128.load(bits + i)));
  }
}

/** The butterflies of every block. */
@inline
function transform(row: usize, D: i32): void {
  const bytes = <usize>D << 2;
  const block = <usize>blockOf(D) << 2;
  for (let first: usize = 0; first < bytes; first += block) transformBlock(row + first, block);
}

/** The butterflies of one block of `bytes`, a power of two and at least 16. */
@inline
export function transformBlock(row: usize, bytes: usize): void {
  const odd = i32x4(0, 0x80000000, 0, 0x80000000);
  const upper = i32x4(0, 0, 0x80000000, 0x80000000);
  for (let i: usize = 0; i < bytes; i += 16) {
    let x = v128.load(row + i);
    x = f32x4.add(v128.shuffle<f32>(x, x, 0, 0, 2, 2), v128.xor(v128.shuffle<f32>(x, x, 1, 1, 3, 3), odd));
    x = f32x4.add(v128.shuffle<f32>(x, x, 0, 1, 0, 1), v128.xor(v128.shuffle<f32>(x, x, 2, 3, 2, 3), upper));
    v128.store(row + i, x);
  }
  for (let half: usize = 16; half < bytes; half <<= 1) {
    for (let first: usize = 0; first < bytes; first += half << 1) {
      const end = row + first + half;
      for (let at = row + first; at < end; at += 16) {
        const a = v128.load(at);
        const b = v128.load(at + half);
        v128.store(at, f32x4.add(a, b));
        v128.store(at + half, f32x4.sub(a, b));
      }
    }
  }
}

/** Where S moves dimension `i`. */
@inline
function placeOf(i: i32, D: i32): i32 {
  const b = blockOf(D);
  return (i % b) * (D / b) + i / b;
}

/** S, or its inverse, in place, along each cycle of the permutation from its smallest index on. */
function shuffle(row: usize, D: i32, inverse: bool): void {
  if (blockOf(D) == D) return;
  for (let start = 0; start < D; start++) {
    let place = placeOf(start, D);
    while (place > start) place = placeOf(place, D);
    if (place < start) continue;
    const first = load<f32>(row + (<usize>start << 2));
    if (inverse) {
      let at = start;
      for (let from = placeOf(at, D); from != start; from = placeOf(at, D)) {
        store<f32>(row + (<usize>at << 2), load<f32>(row + (<usize>from << 2)));
        at = from;
      }
      store<f32>(row + (<usize>at << 2), first);
    } else {
      let carried = first;
      let to = placeOf(start, D);
      while (to != start) {
        const next = load<f32>(row + (<usize>to << 2));
        store<f32>(row + (<usize>to << 2), carried);
        carried = next;
        to = placeOf(to, D);
      }
      store<f32>(row + (<usize>start << 2), carried);
    }
  }
}

@inline
function scale(row: usize, D: i32): void {
  const factor = f32x4.splat(<f32>1.0 / <f32>blockOf(D));
  for (let i: usize = 0; i < <usize>D << 2; i += 16) v128.store(row + i, f32x4.mul(v128.load(row + i), factor));
}

/** R x, in place. `bits` are those of `storeSignBits`. */
@inline
export function rotateRow(row: usize, D: i32, bits: usize): void {
  flip(row, D, bits);
  transform(row, D);
  flip(row, D, bits + (<usize>D << 2));
  shuffle(row, D, false);
  transform(row, D);
  scale(row, D);
}

/** R^T x, in place. */
@inline
export function inverseRotateRow(row: usize, D: i32, bits: usize): void {
  transform(row, D);
  shuffle(row, D, true);
  flip(row, D, bits + (<usize>D << 2));
  transform(row, D);
  flip(row, D, bits);
  scale(row, D);
}

/** Copies a row of d floats to `destination` and fills it up to D with zeros. */
@inline
export function padToRotated(source: usize, d: i32, D: i32, destination: usize): void {
  memory.copy(destination, source, <usize>d << 2);
  if (D > d) memory.fill(destination + (<usize>d << 2), 0, <usize>(D - d) << 2);
}

/** Rotates rows (rows, d) into rows (rows, D). `bits` is room for (2, D). */
export function rotate(source: usize, rows: i32, d: i32, destination: usize, bits: usize): void {
  const D = rotatedDim(d);
  storeSignBits(D, bits);
  for (let r = 0; r < rows; r++) {
    padToRotated(source, d, D, destination);
    rotateRow(destination, D, bits);
    source += <usize>d << 2;
    destination += <usize>D << 2;
  }
}

/** Rotates rows (rows, D) back, in place, and copies their first d numbers to `destination` (rows, d). */
export function inverseRotate(source: usize, rows: i32, d: i32, destination: usize, bits: usize): void {
  const D = rotatedDim(d);
  storeSignBits(D, bits);
  for (let r = 0; r < rows; r++) {
    inverseRotateRow(source, D, bits);
    memory.copy(destination, source, <usize>d << 2);
    source += <usize>D << 2;
    destination += <usize>d << 2;
  }
}
