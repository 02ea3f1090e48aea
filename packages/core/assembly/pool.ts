/** Reductions of scans and scores over rows, and the log-sum-exp of a scan. */
import { sumLanes } from './exponential';
import { maxLane } from './lanes';
import { toScanUnits, pow2, scanUnitsPerNat } from './scan-parts';

/** See `QuantizedKernels.approximateLogSumExp`. */
export function approximateLogSumExp(scan: usize, n: i32, fractionBits: i32, statistics: usize): void {
  const whole = n & ~7;
  let best = i16x8.splat(-32768);
  for (let i: usize = 0; i < <usize>whole << 1; i += 16) best = i16x8.max_s(best, v128.load(scan + i));
  let maxScore = maxLane(best);
  for (let i = whole; i < n; i++) maxScore = max(maxScore, <i32>load<i16>(scan + (<usize>i << 1)));
  const shift = i16x8.splat(<i16>maxScore);
  // Weights below 2^-126, the smallest normal float, are negligible.
  const minExponent = i16x8.splat(<i16>-(<i32>(126.0 * pow2(fractionBits))));
  const up = 7 - fractionBits;
  let sum: f64 = 0;
  for (let from = 0; from < whole; from += 512) {
    const end = scan + (<usize>min(from + 512, whole) << 1);
    let low = f32x4.splat(0.0);
    let high = low;
    for (let at = scan + (<usize>from << 1); at < end; at += 16) {
      const x = i16x8.max_s(i16x8.sub_sat_s(v128.load(at), shift), minExponent);
      const upper = exp2Bfloat16(x, up);
      low = f32x4.add(low, v128.shuffle<i16>(i16x8.splat(0), upper, 0, 8, 1, 9, 2, 10, 3, 11));
      high = f32x4.add(high, v128.shuffle<i16>(i16x8.splat(0), upper, 4, 12, 5, 13, 6, 14, 7, 15));
    }
    sum += <f64>sumLanes(f32x4.add(low, high));
  }
  for (let i = whole; i < n; i++) {
    const x = i16x8.max_s(i16x8.sub_sat_s(i16x8.splat(load<i16>(scan + (<usize>i << 1))), shift), minExponent);
    sum += <f64>reinterpret<f32>((<u32>i16x8.extract_lane_u(exp2Bfloat16(x, up), 0)) << 16);
  }
  store<f32>(statistics, <f32>maxScore / scanUnitsPerNat(fractionBits));
  store<f32>(statistics, <f32>(sum * LINEAR_BIAS), 4);
}

/** The linear interpolation between powers of two exceeds 2^x by 4 % on average. */
const LINEAR_BIAS: f64 = 0.9614;

/**
 * 2^x as bfloat16, to 6 % (Schraudolph 1999), x in units of a scan from -126 to 0: shifted to where float32 has its
 * exponent, the fraction of x becomes the mantissa, which interpolates linearly.
 */
@inline
function exp2Bfloat16(x: v128, up: i32): v128 {
  return i16x8.add(i16x8.shl(x, up), i16x8.splat(127 << 7));
}

/** See `QuantizedKernels.maxOverHeads`. */
export function maxOverHeads(
  scans: usize,
  stride: i32,
  rows: i32,
  n: i32,
  fractionBits: i32,
  offsets: usize,
  proposalExponent: f32,
  pooled: usize,
  accumulate: bool,
): void {
  const unit = scanUnitsPerNat(fractionBits);
  // An exponent of 1 becomes 32,767 / 32,768, which makes no difference.
  const times = i16x8.splat(<i16>min(<i32>nearest<f32>(proposalExponent * <f32>32768.0), 32767));
  for (let r = 0; r < rows; r++) {
    const offset = i16x8.splat(<i16>toScanUnits(load<f32>(offsets + (<usize>r << 2)) * unit));
    const scan = scans + (<usize>(r * stride) << 1);
    const first = r == 0 && !accumulate;
    // The last vector may reach beyond the last key: rows have room for it.
    for (let j: usize = 0; j < <usize>n << 1; j += 16) {
      const share = i16x8.q15mulr_sat_s(i16x8.sub_sat_s(v128.load(scan + j), offset), times);
      v128.store(pooled + j, first ? share : i16x8.max_s(share, v128.load(pooled + j)));
    }
  }
}

/** See `QuantizedKernels.maxScoresOverHeads`. */
export function maxScoresOverHeads(scores: usize, stride: i32, rows: i32, n: i32, offsets: usize, pooled: usize): void {
  const whole = n & ~3;
  const rowBytes = <usize>stride << 2;
  // pmax is one instruction; there are no NaNs among the scores.
  for (let j: usize = 0; j < <usize>whole << 2; j += 16) {
    let maxScore = f32x4.splat(-Infinity);
    for (let r = 0; r < rows; r++) {
      const offset = v128.load32_splat(offsets + (<usize>r << 2));
      maxScore = f32x4.pmax(maxScore, f32x4.sub(v128.load(scores + <usize>r * rowBytes + j), offset));
    }
    v128.store(pooled + j, maxScore);
  }
  for (let j = <usize>whole << 2; j < <usize>n << 2; j += 4) {
    let maxScore: f32 = -Infinity;
    for (let r = 0; r < rows; r++) {
      maxScore = max(maxScore, load<f32>(scores + <usize>r * rowBytes + j) - load<f32>(offsets + (<usize>r << 2)));
    }
    store<f32>(pooled + j, maxScore);
  }
}
