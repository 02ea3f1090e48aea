/**
 * float16 (IEEE 754 binary16) in memory, float32 in registers.
 *
 * Converting moves the bits of a float16 to where float32 has them; the exponent is then 112 too small, which a product
 * with 2^112 corrects exactly, subnormal numbers included. Infinities and NaNs are not stored (see `storeFloat16`), so
 * they need no case here.
 */

/** Bits that a float16, sign-extended to 32 bits and shifted by 13, keeps: without the copies of the sign. */
const HALF_BITS: i32 = 0x8fffffff;

/** Converts the four lower float16 of `h`. */
@inline
export function widenLow(h: v128): v128 {
  const bits = v128.and(i32x4.shl(i32x4.extend_low_i16x8_s(h), 13), i32x4.splat(HALF_BITS));
  return f32x4.mul(bits, f32x4.splat(<f32>5.192296858534828e33));
}

/** Converts the four upper float16 of `h`. */
@inline
export function widenHigh(h: v128): v128 {
  const bits = v128.and(i32x4.shl(i32x4.extend_high_i16x8_s(h), 13), i32x4.splat(HALF_BITS));
  return f32x4.mul(bits, f32x4.splat(<f32>5.192296858534828e33));
}

/** Rounds four floats to float16, ties to even, in the lower 16 bits of each lane. */
@inline
function narrow(x: v128): v128 {
  const sign = v128.and(x, i32x4.splat(0x80000000));
  const magnitude = v128.xor(x, sign);
  // Normal: round off 13 bits of the mantissa, ties to even, and move the exponent.
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
  const rounded = i32x4.add(i32x4.add(magnitude, i32x4.splat(0x0fff)), odd);
  const normal = i32x4.sub(i32x4.shr_u(rounded, 13), i32x4.splat(112 << 10));
  // Subnormal: adding .5 makes the float adder round to a multiple of 2^-24.
  const magic = i32x4.splat(126 << 23);
  const subnormal = i32x4.sub(f32x4.add(magnitude, magic), magic);
  const small = i32x4.lt_s(magnitude, i32x4.splat(113 << 23));
  return v128.or(v128.bitselect(subnormal, normal, small), i32x4.shr_u(sign, 16));
}

/**
 * Rounds `count` floats (a multiple of 8) to float16. Returns false if one of them is not finite or rounds to more than
 * 65,504.
 */
export function storeFloat16(source: usize, destination: usize, count: i32): bool {
  let tooLarge = i32x4.splat(0);
  const magnitudeBits = i32x4.splat(0x7fffffff);
  const limit = i32x4.splat(0x477fefff); // the largest float that rounds to 65,504
  for (let i = 0; i < count; i += 8) {
    const low = v128.load(source);
    const high = v128.load(source, 16);
    tooLarge = v128.or(tooLarge, i32x4.gt_s(v128.and(low, magnitudeBits), limit));
    tooLarge = v128.or(tooLarge, i32x4.gt_s(v128.and(high, magnitudeBits), limit));
    v128.store(destination, i16x8.narrow_i32x4_u(narrow(low), narrow(high)));
    source += 32;
    destination += 16;
  }
  return !v128.any_true(tooLarge);
}

/** Copies `count` floats (a multiple of 4). Returns false when one of them is not finite. */
export function storeFloat32(source: usize, destination: usize, count: i32): bool {
  let notFinite = i32x4.splat(0);
  const magnitudeBits = i32x4.splat(0x7fffffff);
  const limit = i32x4.splat(0x7f7fffff);
  for (let i = 0; i < count; i += 4) {
    const x = v128.load(source);
    notFinite = v128.or(notFinite, i32x4.gt_s(v128.and(x, magnitudeBits), limit));
    v128.store(destination, x);
    source += 16;
    destination += 16;
  }
  return !v128.any_true(notFinite);
}

/** Converts `count` float16 (a multiple of 8) to float32. */
@inline
export function widenRow(source: usize, destination: usize, count: i32): void {
  const end = source + (<usize>count << 1);
  while (source < end) {
    const h = v128.load(source);
    v128.store(destination, widenLow(h));
    v128.store(destination, widenHigh(h), 16);
    source += 16;
    destination += 32;
  }
}
