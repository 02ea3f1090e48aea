/** Writes the encodings of a full page: see src/kernels/layout.ts. */
import { hasBasis, storeClasses, storeOneBit, storeTwoBits } from './classes';
import { maxLanes, sumLanes } from './exponential';
import { CLASS_FACTOR_SCALE, FACTOR_SCALE, MAX_QUANTIZABLE_EXPONENT, Pages } from './generated';
import { floatRows, PAGE_KEYS, pageAddress, rowBytes } from './pages';
import { inverseRotateRow, rotatedDim, rotateRow, storeSignBits, padToRotated } from './rotate';
import { centreOffset, factorsOffset } from './scan-parts';

/** Larger numbers cannot be quantized. */
const MAX_MAGNITUDE: f32 = reinterpret<f32>((127 + MAX_QUANTIZABLE_EXPONENT) << 23);
/** Rows below this magnitude count as 0: their squares underflow. */
const MIN_MAGNITUDE: f32 = 1e-36;

/** x >= 0 as bfloat16, rounded up. */
@inline
function toBfloat16Ceil(x: f32): u32 {
  return (reinterpret<u32>(x) + 0xffff) >> 16;
}

@inline
function fromBfloat16(x: u32): f32 {
  return reinterpret<f32>(x << 16);
}

/**
 * See `QuantizedKernels.quantizePage`. `scratch` holds rows as floats (64, d), one row rotated (D), the centre (D), the
 * sign bits of the rotation (2, D), the keys' factors (2, 64), the centre rotated back (D) and the classes of a key (D).
 */
export function quantizePage(pages: Pages, page: i32, scratch: usize): bool {
  const d = pages.headDim;
  const isFloat16 = pages.isFloat16 != 0;
  const sign = pages.sign;
  const bounds = pages.bounds;
  const int4 = pages.int4;
  const int8 = pages.int8;
  const valuesInt8 = pages.values;
  const summary = pages.summary;
  const minMax = pages.minMax;
  const D = rotatedDim(d);
  const rowFloats = <usize>D << 2;
  const record = pageAddress(pages.table, pages.headOffset, page);
  const exactKeys = pageAddress(pages.exactTable, pages.exactOffset, page);
  const exactValues = exactKeys + rowBytes(d, isFloat16) * PAGE_KEYS;
  const row = scratch + rowFloats * PAGE_KEYS;
  const centre = row + rowFloats;
  const bits = centre + rowFloats;
  const factors = bits + (rowFloats << 1);
  const unrotatedCentre = factors + (PAGE_KEYS << 3);
  const classes = unrotatedCentre + rowFloats;
  const basis = pages.basis;
  storeSignBits(D, bits);

  const keys = floatRows(exactKeys, 0, PAGE_KEYS, d, isFloat16, scratch);
  if (!allWithinRange(keys, d)) return false;
  if (sign != 0) {
    storeCentre(keys, d, D, record + sign, centre, bits);
    if (hasBasis(basis)) {
      memory.copy(unrotatedCentre, centre, rowFloats);
      inverseRotateRow(unrotatedCentre, D, bits);
    }
    for (let key = 0; key < PAGE_KEYS; key++) {
      padToRotated(keys + (<usize>(key * d) << 2), d, D, row);
      if (hasBasis(basis)) {
        for (let i: usize = 0; i < rowFloats; i += 16) {
          v128.store(classes + i, f32x4.sub(v128.load(row + i), v128.load(unrotatedCentre + i)));
        }
        storeClassCodes(classes, d, basis, record + sign, key, factors + (<usize>key << 2), classes + rowFloats);
      }
      rotateRow(row, D, bits);
      for (let i: usize = 0; i < rowFloats; i += 16) {
        v128.store(row + i, f32x4.sub(v128.load(row + i), v128.load(centre + i)));
      }
      const rowMax = maxMagnitude(row, D);
      if (!hasBasis(basis)) store<f32>(factors + (<usize>key << 2), storeSigns(row, D, rowMax, record + sign, key));
      if (int4 == 0 && bounds == 0) continue;
      const codes: usize = int4 == 0 ? 0 : record + int4 + <usize>(key * D);
      const step = toBfloat16Ceil(rowMax * <f32>0.0078125);
      if (int4 != 0) store<u16>(record + int4 + <usize>(PAGE_KEYS * D) + (<usize>key << 2), <u16>step);
      const lower: usize = int8 == 0 ? 0 : record + int8 + ((<usize>(key * D)) >> 1);
      const whole: usize = bounds == 0 ? 0 : record + bounds + <usize>(key * D);
      const rest = storeQuantized(row, D, fromBfloat16(step), codes, lower, whole);
      if (int8 == 0 && bounds == 0) continue;
      const bound = errorBoundOf(row, D, rowMax, fromBfloat16(step), rest, centre);
      const error = toBfloat16Ceil(bound);
      if (int8 != 0) store<u16>(record + int8 + (<usize>(PAGE_KEYS * D) >> 1) + (<usize>key << 1), <u16>error);
      if (bounds == 0) continue;
      const numbers = record + bounds + <usize>(PAGE_KEYS * D) + (<usize>key << 1);
      store<u16>(numbers, <u16>step);
      store<u16>(numbers, <u16>error, PAGE_KEYS << 1);
      store<u16>(numbers, <u16>toBfloat16Ceil((scaledNorm(row, D, rowMax) + bound) * <f32>1.0001), PAGE_KEYS << 2);
    }
    if (hasBasis(basis)) storeClassFactors(factors, record + sign, D);
    else storeFactors(factors, record + sign, D);
  }
  if (minMax != 0) storeMinMax(keys, d, record + minMax, pages.dropsExactRows ? record + int8 + (<usize>(PAGE_KEYS * D) >> 1) : 0);
  if (summary != 0) storeMean(keys, d, record + summary);

  const values = floatRows(exactValues, 0, PAGE_KEYS, d, isFloat16, scratch);
  if (!allWithinRange(values, d)) return false;
  if (int4 != 0) {
    for (let key = 0; key < PAGE_KEYS; key++) {
      padToRotated(values + (<usize>(key * d) << 2), d, D, row);
      rotateRow(row, D, bits);
      const step = toBfloat16Ceil(maxMagnitude(row, D) * <f32>0.0078125);
      store<u16>(record + int4 + <usize>(PAGE_KEYS * D) + (<usize>key << 2), <u16>step, 2);
      const lower: usize = valuesInt8 == 0 ? 0 : record + valuesInt8 + ((<usize>(key * D)) >> 1);
      storeQuantized(row, D, fromBfloat16(step), record + int4 + <usize>(key * D) + (<usize>D >> 1), lower, 0);
    }
  }
  if (summary != 0) {
    const mean = record + summary + (<usize>d << 2);
    storeMean(values, d, mean);
    store<f32>(mean + (<usize>d << 2), radiusOf(values, d, mean));
  }
  return true;
}

/** Whether no magnitude in 64 rows exceeds MAX_MAGNITUDE; false for NaN. */
@inline
function allWithinRange(rows: usize, d: i32): bool {
  let inside = i32x4.splat(-1);
  for (let i: usize = 0; i < <usize>(PAGE_KEYS * d) << 2; i += 16) {
    inside = v128.and(inside, f32x4.le(f32x4.abs(v128.load(rows + i)), f32x4.splat(MAX_MAGNITUDE)));
  }
  return i32x4.all_true(inside);
}

@inline
function maxMagnitude(row: usize, D: i32): f32 {
  let maxima = f32x4.splat(0.0);
  for (let i: usize = 0; i < <usize>D << 2; i += 16) maxima = f32x4.max(maxima, f32x4.abs(v128.load(row + i)));
  return maxLanes(maxima);
}

/** The mean of 64 rows (d). */
@inline
function storeMean(rows: usize, d: i32, mean: usize): void {
  for (let i: usize = 0; i < <usize>d << 2; i += 16) {
    let sum = f32x4.splat(0.0);
    for (let key = 0; key < PAGE_KEYS; key++) sum = f32x4.add(sum, v128.load(rows + (<usize>(key * d) << 2) + i));
    v128.store(mean + i, f32x4.mul(sum, f32x4.splat(<f32>0.015625)));
  }
}

/** Writes the centre, the rotated mean of the keys, as int8 codes (D) and their step, and dequantized to `centre`. */
@inline
function storeCentre(keys: usize, d: i32, D: i32, encodingAddress: usize, centre: usize, bits: usize): void {
  if (D > d) memory.fill(centre + (<usize>d << 2), 0, <usize>(D - d) << 2);
  storeMean(keys, d, centre);
  rotateRow(centre, D, bits);
  const codes = encodingAddress + centreOffset(D);
  const step = maxMagnitude(centre, D) / <f32>127.0;
  store<f32>(codes + <usize>D, step);
  const scale = f32x4.splat(step > MIN_MAGNITUDE ? step : <f32>1.0);
  for (let i: usize = 0; i < <usize>D; i += 4) {
    const at = centre + (i << 2);
    let code = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(v128.load(at), scale)));
    code = i32x4.max_s(i32x4.min_s(code, i32x4.splat(127)), i32x4.splat(-127));
    v128.store(at, f32x4.mul(f32x4.convert_i32x4_s(code), f32x4.splat(step)));
    store<i8>(codes + i, <i8>i32x4.extract_lane(code, 0));
    store<i8>(codes + i, <i8>i32x4.extract_lane(code, 1), 1);
    store<i8>(codes + i, <i8>i32x4.extract_lane(code, 2), 2);
    store<i8>(codes + i, <i8>i32x4.extract_lane(code, 3), 3);
  }
}

/**
 * Writes the signs of y, those of keys 0 to 7 of every 16 at even bytes and those of keys 8 to 15 at odd ones. Returns
 * f = ||y||^2 / ||y||_1, computed in units of the largest number.
 */
@inline
function storeSigns(y: usize, D: i32, rowMax: f32, encodingAddress: usize, key: i32): f32 {
  const inverse = f32x4.splat(rowMax > MIN_MAGNITUDE ? <f32>1.0 / rowMax : <f32>0.0);
  let sum = f32x4.splat(0.0);
  let squares = f32x4.splat(0.0);
  const group = encodingAddress + <usize>((key >> 4) * (D << 1) + ((key & 7) << 1) + ((key >> 3) & 1));
  for (let i: usize = 0; i < <usize>D; i += 8) {
    const a = v128.load(y + (i << 2));
    const b = v128.load(y + (i << 2), 16);
    store<u8>(group + (i << 1), <u8>(i32x4.bitmask(a) | (i32x4.bitmask(b) << 4)));
    const x0 = f32x4.mul(a, inverse);
    const x1 = f32x4.mul(b, inverse);
    sum = f32x4.add(sum, f32x4.add(f32x4.abs(x0), f32x4.abs(x1)));
    squares = f32x4.add(squares, f32x4.add(f32x4.mul(x0, x0), f32x4.mul(x1, x1)));
  }
  const total = sumLanes(sum);
  // No factor is larger than the largest number; the sums have fewer than 40 roundings each.
  return total > 0 ? min(rowMax, rowMax * (sumLanes(squares) / total) * <f32>1.000005) : rowMax;
}

/**
 * Writes the codes of y (d), which lie as signs do: two bits a dimension of the first class, then one of the second. Its
 * factors go to `factors` and 64 numbers further. `classes` is room for (3 d / 4).
 */
@inline
function storeClassCodes(
  y: usize,
  d: i32,
  basis: usize,
  encodingAddress: usize,
  key: i32,
  factors: usize,
  classes: usize,
): void {
  storeClasses(y, d, basis, false, classes);
  const second = classes + <usize>d;
  const group = encodingAddress + <usize>((key >> 4) * (d << 1) + ((key & 7) << 1) + ((key >> 3) & 1));
  const firstMax = maxMagnitude(classes, d >> 2);
  const secondMax = maxMagnitude(second, d >> 1);
  // Where all numbers are next to nothing, so is the factor, and the codes do not matter.
  const safeFirst = max(firstMax, MIN_MAGNITUDE);
  const safeSecond = max(secondMax, MIN_MAGNITUDE);
  const first = storeTwoBits(classes, d, safeFirst, group);
  const one = storeOneBit(second, d, safeSecond, group + <usize>d);
  store<f32>(factors, firstMax > MIN_MAGNITUDE ? first : 0);
  store<f32>(factors + (PAGE_KEYS << 2), secondMax > MIN_MAGNITUDE ? one : 0);
}

/** Writes the factors (2, 64) in CLASS_FACTOR_SCALE parts of the largest of their class, and the largest. */
@inline
function storeClassFactors(factors: usize, encodingAddress: usize, D: i32): void {
  for (let part: usize = 0; part < 2; part++) {
    const list = factors + part * <usize>(PAGE_KEYS << 2);
    const maxFactor = maxMagnitude(list, PAGE_KEYS);
    store<f32>(encodingAddress + centreOffset(D) + <usize>D + (part << 2), maxFactor, 4);
    const scale = maxFactor > MIN_MAGNITUDE ? <f32>CLASS_FACTOR_SCALE / maxFactor : 0;
    for (let key: usize = 0; key < <usize>PAGE_KEYS; key++) {
      const code = nearest<f32>(load<f32>(list + (key << 2)) * scale);
      store<u8>(encodingAddress + factorsOffset(D) + part * <usize>PAGE_KEYS + key, <u8>code);
    }
  }
}

/** Writes the factors of 64 keys in FACTOR_SCALE parts of the largest, rounded up, and the largest. */
@inline
function storeFactors(factors: usize, encodingAddress: usize, D: i32): void {
  const maxFactor = maxMagnitude(factors, PAGE_KEYS);
  store<f32>(encodingAddress + centreOffset(D) + <usize>D, maxFactor, 4);
  for (let key = 0; key < PAGE_KEYS; key++) {
    // The .02 covers the roundings of this line. Where the largest factor is next to nothing, all are.
    const parts = (load<f32>(factors + (<usize>key << 2)) / maxFactor) * (<f32>FACTOR_SCALE + <f32>0.02);
    const code = maxFactor > MIN_MAGNITUDE ? min(<i32>ceil<f32>(parts), FACTOR_SCALE) : FACTOR_SCALE;
    store<i16>(encodingAddress + factorsOffset(D) + (<usize>key << 1), <i16>code);
  }
}

/** int8 codes of four numbers that are given in steps, as int32. */
@inline
function quantizeInt8(x: v128): v128 {
  const code = i32x4.trunc_sat_f32x4_s(f32x4.floor(x));
  return i32x4.max_s(i32x4.min_s(code, i32x4.splat(127)), i32x4.splat(-128));
}

@inline
function squaredError(x: v128, code: v128): v128 {
  const rest = f32x4.sub(f32x4.sub(x, f32x4.convert_i32x4_s(code)), f32x4.splat(0.5));
  return f32x4.mul(rest, rest);
}

/**
 * Writes the codes of a row (D): upper halves to `upper`, lower halves to `lower`, and whole ones to `whole`, each if that
 * is not 0. Returns the squared quantization error in steps, where more than the upper halves were asked for.
 */
function storeQuantized(row: usize, D: i32, step: f32, upper: usize, lower: usize, whole: usize): f32 {
  const half = <usize>D >> 1;
  if (step < MIN_MAGNITUDE) {
    // Codes of 0 stand for half a negligible step.
    if (upper != 0) memory.fill(upper, 0x88, half);
    if (whole != 0) memory.fill(whole, 0, <usize>D);
    if (lower != 0) memory.fill(lower, 0, half);
    return <f32>D * <f32>16384.0;
  }
  const scale = f32x4.splat(step);
  let rest = f32x4.splat(0.0);
  for (let i: usize = 0; i < half; i += 16) {
    const a = row + (i << 2);
    const b = a + (half << 2);
    const a0 = f32x4.div(v128.load(a), scale);
    const a1 = f32x4.div(v128.load(a, 16), scale);
    const a2 = f32x4.div(v128.load(a, 32), scale);
    const a3 = f32x4.div(v128.load(a, 48), scale);
    const b0 = f32x4.div(v128.load(b), scale);
    const b1 = f32x4.div(v128.load(b, 16), scale);
    const b2 = f32x4.div(v128.load(b, 32), scale);
    const b3 = f32x4.div(v128.load(b, 48), scale);
    const ca0 = quantizeInt8(a0);
    const ca1 = quantizeInt8(a1);
    const ca2 = quantizeInt8(a2);
    const ca3 = quantizeInt8(a3);
    const cb0 = quantizeInt8(b0);
    const cb1 = quantizeInt8(b1);
    const cb2 = quantizeInt8(b2);
    const cb3 = quantizeInt8(b3);
    const low = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(ca0, ca1), i16x8.narrow_i32x4_s(ca2, ca3));
    const high = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(cb0, cb1), i16x8.narrow_i32x4_s(cb2, cb3));
    if (upper != 0) {
      const eight = i8x16.splat(8);
      const u = i8x16.add(i8x16.shr_s(low, 4), eight);
      const w = i8x16.add(i8x16.shr_s(high, 4), eight);
      v128.store(upper + i, v128.or(u, i8x16.shl(w, 4)));
    }
    if (lower == 0 && whole == 0) continue;
    if (lower != 0) {
      const fifteen = i8x16.splat(15);
      v128.store(lower + i, v128.or(v128.and(low, fifteen), i8x16.shl(v128.and(high, fifteen), 4)));
    }
    if (whole != 0) {
      v128.store(whole + i, low);
      v128.store(whole + half + i, high);
    }
    rest = f32x4.add(rest, f32x4.add(squaredError(a0, ca0), squaredError(a1, ca1)));
    rest = f32x4.add(rest, f32x4.add(squaredError(a2, ca2), squaredError(a3, ca3)));
    rest = f32x4.add(rest, f32x4.add(squaredError(b0, cb0), squaredError(b1, cb1)));
    rest = f32x4.add(rest, f32x4.add(squaredError(b2, cb2), squaredError(b3, cb3)));
  }
  return sumLanes(rest);
}

/**
 * A bound on ||R k - c - y8||: the quantization error; numbers in steps, each off by 2^-17 of a step; and the rotation in
 * float32, 14 and a few roundings of numbers that together have the norm of k.
 */
@inline
function errorBoundOf(y: usize, D: i32, rowMax: f32, step: f32, rest: f32, centre: usize): f32 {
  const root = <f32>Math.sqrt(<f64>D);
  const left = step * (<f32>Math.sqrt(<f64>rest) * <f32>1.0001 + root * <f32>7.62939453125e-6);
  const norms = scaledNorm(y, D, rowMax) + <f32>2.0 * scaledNorm(centre, D, maxMagnitude(centre, D));
  return left + norms * <f32>3.814697265625e-6 + <f32>1e-37;
}

/** An upper bound on the norm of a row whose largest magnitude is `rowMax`, close to it. */
@inline
function scaledNorm(row: usize, D: i32, rowMax: f32): f32 {
  if (rowMax <= MIN_MAGNITUDE) return rowMax * <f32>D;
  const inverse = f32x4.splat(<f32>1.0 / rowMax);
  let sum = f32x4.splat(0.0);
  for (let i: usize = 0; i < <usize>D << 2; i += 16) {
    const x = f32x4.mul(v128.load(row + i), inverse);
    sum = f32x4.add(sum, f32x4.mul(x, x));
  }
  return rowMax * <f32>Math.sqrt(<f64>sumLanes(sum)) * <f32>1.0001;
}

/** The largest distance of 64 rows from their mean, rounded up. */
function radiusOf(rows: usize, d: i32, mean: usize): f32 {
  let maxSquare: f64 = 0;
  for (let key = 0; key < PAGE_KEYS; key++) {
    let sum: f64 = 0;
    for (let i: usize = 0; i < <usize>d << 2; i += 4) {
      const x = <f64>load<f32>(rows + (<usize>(key * d) << 2) + i) - <f64>load<f32>(mean + i);
      sum += x * x;
    }
    maxSquare = max(maxSquare, sum);
  }
  const radius = <f32>Math.sqrt(maxSquare);
  return radius == 0 ? 0 : radius * <f32>1.000001 + <f32>1e-44;
}

/**
 * Writes the minima and the maxima (d) of every 16 keys. `bounds` is the address of the keys' error bounds (64), if the
 * page keeps int8 alone, or 0.
 */
@inline
function storeMinMax(keys: usize, d: i32, encodingAddress: usize, bounds: usize): void {
  const bytes = <usize>d << 2;
  for (let block: usize = 0; block < 4; block++) {
    const rows = keys + block * 16 * bytes;
    const minRow = encodingAddress + block * 2 * bytes;
    const maxError = f32x4.splat(bounds == 0 ? 0 : maxErrorOf(bounds + block * 32));
    const rounding = f32x4.splat(bounds == 0 ? 0 : <f32>2.384185791015625e-7);
    for (let i: usize = 0; i < bytes; i += 16) {
      let low = v128.load(rows + i);
      let high = low;
      for (let key: usize = 1; key < 16; key++) {
        const x = v128.load(rows + key * bytes + i);
        low = f32x4.min(low, x);
        high = f32x4.max(high, x);
      }
      v128.store(minRow + i, f32x4.sub(low, f32x4.add(maxError, f32x4.mul(f32x4.abs(low), rounding))));
      v128.store(minRow + bytes + i, f32x4.add(high, f32x4.add(maxError, f32x4.mul(f32x4.abs(high), rounding))));
    }
  }
}

/** The largest error bound of 16 keys. */
@inline
function maxErrorOf(bounds: usize): f32 {
  let maxBound: f32 = 0;
  for (let key: usize = 0; key < 16; key++) maxBound = max(maxBound, fromBfloat16(<u32>load<u16>(bounds + (key << 1))));
  return maxBound * <f32>1.0001;
}
