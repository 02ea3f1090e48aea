/**
 * exp for four floats at most 0, as the softmax asks for it: e^x = 2^m e^r with an integer m and |r| <= ln(2) / 2, and e^r
 * by a polynomial of degree 6 with the coefficients of the Cephes library's expf (relative error below 2e-7).
 * e^0 is exactly 1. From -75 down the result is 0, so a masked score of -infinity has no weight. Beside a weight of 1
 * a float32 sum loses what is below e^-16, and a billion weights of e^-75 stay below e^-54; but their products with
 * values would be subnormal numbers, at which processors are slow.
 */

@inline
export function exponential(x: v128): v128 {
  const live = f32x4.gt(x, f32x4.splat(-75.0));
  // pmax is one instruction; max, which also orders zeros and NaNs, is seven.
  const bounded = f32x4.pmax(x, f32x4.splat(-75.0));
  // Adding 1.5 * 2^23 rounds to an integer, which then lies in the low bits of the float.
  const shifted = f32x4.add(f32x4.mul(bounded, f32x4.splat(<f32>1.4426950408889634)), f32x4.splat(12582912.0));
  const m = f32x4.sub(shifted, f32x4.splat(12582912.0));
  // ln 2 in two parts, so that m times the first is exact.
  let r = f32x4.sub(bounded, f32x4.mul(m, f32x4.splat(<f32>0.693359375)));
  r = f32x4.add(r, f32x4.mul(m, f32x4.splat(<f32>2.12194440e-4)));
  let p = f32x4.splat(<f32>1.9875691500e-4);
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(<f32>1.3981999507e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(<f32>8.3334519073e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(<f32>4.1665795894e-2));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(<f32>1.6666665459e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(<f32>5.0000001201e-1));
  const mantissa = f32x4.add(f32x4.add(f32x4.mul(f32x4.mul(p, r), r), r), f32x4.splat(1.0));
  return v128.and(i32x4.add(mantissa, i32x4.shl(shifted, 23)), live);
}

/** e^x of one number, as `exponential` has it for four. */
@inline
export function exponential1(x: f32): f32 {
  return f32x4.extract_lane(exponential(f32x4.splat(x)), 0);
}

/** Sum of the four lanes. */
@inline
export function sumLanes(x: v128): f32 {
  const pairs = f32x4.add(x, v128.shuffle<f32>(x, x, 2, 3, 0, 1));
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
}

/** Largest of the four lanes. Adding 0 makes one zero of the two, which pseudo-maxima do not tell apart. */
@inline
export function maxLanes(x: v128): f32 {
  const pairs = f32x4.pmax(x, v128.shuffle<f32>(x, x, 2, 3, 0, 1));
  return max(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1)) + <f32>0.0;
}
