/** The two classes of dimensions that a scan by a basis keeps: see src/kernels/scan-basis.ts. */
import { sumLanes } from './exponential';
import { BASIS_HEADER_BYTES } from './generated';
import { transformBlock } from './rotate';

/** Levels of two bits for normal numbers of variance 1, and the threshold between them. */
export const LOW_LEVEL: f32 = 0.4528;
export const HIGH_LEVEL: f32 = 1.5104;
const LEVEL_THRESHOLD: f32 = 0.9816;

/** Whether a head has a basis. */
@inline
export function hasBasis(basis: usize): bool {
  return basis != 0 && load<i32>(basis) != 0;
}

/** Writes both classes of a row (d), weighted and rotated, to `classes` (3 d / 4). Keys have weights, queries their inverses. */
@inline
export function storeClasses(row: usize, d: i32, basis: usize, isQuery: bool, classes: usize): void {
  const bytes = (<usize>d << 1) + <usize>d;
  const offsets = basis + BASIS_HEADER_BYTES;
  const weights = offsets + (isQuery ? bytes << 1 : bytes);
  for (let i: usize = 0; i < bytes; i += 4) {
    store<f32>(classes + i, load<f32>(row + <usize>load<i32>(offsets + i)) * load<f32>(weights + i));
  }
  const second = classes + <usize>d;
  transformBlock(classes, <usize>d);
  transformBlock(second, <usize>d << 1);
  const flips = offsets + bytes * 3;
  for (let i: usize = 0; i < bytes; i += 16) {
    v128.store(classes + i, f32x4.mul(v128.load(classes + i), v128.load(flips + i)));
  }
  transformBlock(classes, <usize>d);
  transformBlock(second, <usize>d << 1);
}

/**
 * Writes the codes of a key's first class, two bits a dimension: of every 4 dimensions two signs and two large
 * magnitudes in the lower half of a byte, the other two of each in the upper. Returns ||z||^2 / <z, z'>.
 */
@inline
export function storeTwoBits(z: usize, d: i32, max: f32, group: usize): f32 {
  const inverse = f32x4.splat(<f32>1.0 / max);
  let squares = f32x4.splat(0.0);
  for (let i: usize = 0; i < <usize>d; i += 16) {
    const x = f32x4.mul(v128.load(z + i), inverse);
    squares = f32x4.add(squares, f32x4.mul(x, x));
  }
  const square = sumLanes(squares);
  const threshold = f32x4.splat(LEVEL_THRESHOLD * <f32>Math.sqrt(<f64>(square / <f32>(d >> 2))));
  let products = f32x4.splat(0.0);
  let at = group;
  for (let i: usize = 0; i < <usize>d; i += 16) {
    const x = v128.load(z + i);
    const size = f32x4.abs(f32x4.mul(x, inverse));
    const large = f32x4.gt(size, threshold);
    const negative = i32x4.bitmask(x);
    const high = i32x4.bitmask(large);
    store<u8>(at, <u8>((negative & 3) | ((high & 3) << 2) | ((negative >> 2) << 4) | ((high >> 2) << 6)));
    const level = v128.bitselect(f32x4.splat(HIGH_LEVEL), f32x4.splat(LOW_LEVEL), large);
    products = f32x4.add(products, f32x4.mul(size, level));
    at += 16;
  }
  return max * (square / sumLanes(products));
}

/** Writes the signs of a key's second class. Returns ||z||^2 / ||z||_1. */
@inline
export function storeOneBit(z: usize, d: i32, max: f32, group: usize): f32 {
  const inverse = f32x4.splat(<f32>1.0 / max);
  let sum = f32x4.splat(0.0);
  let squares = f32x4.splat(0.0);
  let at = group;
  for (let i: usize = 0; i < <usize>d << 1; i += 32) {
    const a = v128.load(z + i);
    const b = v128.load(z + i, 16);
    store<u8>(at, <u8>(i32x4.bitmask(a) | (i32x4.bitmask(b) << 4)));
    const x0 = f32x4.mul(a, inverse);
    const x1 = f32x4.mul(b, inverse);
    sum = f32x4.add(sum, f32x4.add(f32x4.abs(x0), f32x4.abs(x1)));
    squares = f32x4.add(squares, f32x4.add(f32x4.mul(x0, x0), f32x4.mul(x1, x1)));
    at += 16;
  }
  return max * (sumLanes(squares) / sumLanes(sum));
}
