/** What the scan by signs and the scan by classes share: where a page's numbers lie, units of scores, look-ups. */
import { sumInts } from './lanes';
import { PAGE_KEYS } from './pages';

/** Offset of a page's factors in the encoding sign. */
@inline
export function factorsOffset(D: i32): usize {
  return <usize>D << 3;
}

@inline
export function centreOffset(D: i32): usize {
  return (<usize>D << 3) + (PAGE_KEYS << 1);
}

/** The largest factor of a page, which lies behind the centre and its step. */
@inline
export function pageFactor(centre: usize, D: i32): f32 {
  return load<f32>(centre + <usize>D, 4);
}

@inline
export function pow2(exponent: i32): f32 {
  return reinterpret<f32>((127 + exponent) << 23);
}

/** Units of a scan in a nat: 2^bits / ln 2. */
@inline
export function scanUnitsPerNat(fractionBits: i32): f32 {
  return <f32>1.4426950408889634 * pow2(fractionBits);
}

/** A score in units, rounded, within 16 bits. */
@inline
export function toScanUnits(score: f32): i32 {
  return <i32>min(max(nearest<f32>(score), <f32>-32768.0), <f32>32767.0);
}

/** See `QuantizedKernels.scanScores`. */
export function scanScores(
  scores: usize,
  stride: i32,
  rows: i32,
  n: i32,
  fractionBits: i32,
  scans: usize,
  scanStride: i32,
): void {
  const unit = scanUnitsPerNat(fractionBits);
  const units = f32x4.splat(unit);
  const whole = n & ~7;
  for (let r = 0; r < rows; r++) {
    const row = scores + (<usize>(r * stride) << 2);
    const scan = scans + (<usize>(r * scanStride) << 1);
    for (let j = 0; j < whole; j += 8) {
      const from = row + (<usize>j << 2);
      const low = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(from), units)));
      const high = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(from, 16), units)));
      v128.store(scan + (<usize>j << 1), i16x8.narrow_i32x4_s(low, high));
    }
    for (let j = whole; j < n; j++) {
      store<i16>(scan + (<usize>j << 1), <i16>toScanUnits(load<f32>(row + (<usize>j << 2)) * unit));
    }
  }
}

/** Sums of four look-ups, 16 dimensions, for 16 keys: at most 4 * 56. */
@inline
export function lookUp(table: usize, a: v128, b: v128, c: v128, e: v128): v128 {
  const low = i8x16.add(i8x16.swizzle(v128.load(table), a), i8x16.swizzle(v128.load(table, 16), b));
  const high = i8x16.add(i8x16.swizzle(v128.load(table, 32), c), i8x16.swizzle(v128.load(table, 48), e));
  return i8x16.add(low, high);
}

/** <Rq, c> of a page in nats, from the query's int16 codes. */
@inline
export function centreByCodes(codes: usize, centre: usize, D: i32, step: f32): f32 {
  let sum = i32x4.splat(0);
  for (let i: usize = 0; i < <usize>D; i += 16) {
    const c = v128.load(centre + i);
    const q = codes + (i << 1);
    sum = i32x4.add(sum, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(c), v128.load(q)));
    sum = i32x4.add(sum, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(c), v128.load(q, 16)));
  }
  return <f32>sumInts(sum) * step * load<f32>(centre + <usize>D);
}

/**
 * Conversion of a row's sums of codes to units, by products of 16-bit fractions: a sum, shifted left as far as possible,
 * is multiplied by its key's factor, then by `scaleQ15`, and doubled `scaleShift` times, all within 16 bits.
 */
export let scaleQ15: i32 = 0;
export let scaleShift: i32 = 0;

/** Sets `scaleQ15` and `scaleShift` to a factor. */
@inline
export function setScale(scale: f32): void {
  scaleShift = 0;
  let rest = min(scale, <f32>32767.0);
  while (rest >= <f32>0.99998) {
    rest *= <f32>0.5;
    scaleShift++;
  }
  scaleQ15 = <i32>nearest<f32>(rest * <f32>32768.0);
}
