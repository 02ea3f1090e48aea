/**
 * Prepared query rows: rotated rows (rows, D) of float32; codes (rows, D) of int16 in the order of a key's codes; tables
 * (rows, D / 4, 16) of uint8; codes (rows, D) of int16 in the order of the dimensions; and 64 bytes for each row: the step
 * of its codes, the sum of its codes, the step of its tables and a bound on the norm of its quantization error, float32;
 * then 16 bytes of 15, the mask of 4 bits: a constant from memory stays in a register, one in the code is made anew at
 * every use; then the step of the second class's tables, where the head has a basis (`classes.ts`).
 */
import { HIGH_LEVEL, hasBasis, LOW_LEVEL, storeClasses } from './classes';
import { maxLanes, sumLanes } from './exponential';
import { Pages } from './generated';
import { sumInts } from './lanes';
import { rotate, rotatedDim } from './rotate';

@inline
export function queryCodes(quantizedQuery: usize, rows: i32, D: i32): usize {
  return quantizedQuery + (<usize>(rows * D) << 2);
}

@inline
export function queryTables(quantizedQuery: usize, rows: i32, D: i32): usize {
  return quantizedQuery + <usize>(rows * D) * 6;
}

/** The codes in the order of the dimensions, as a page's centre has them. */
@inline
export function orderedCodes(quantizedQuery: usize, rows: i32, D: i32): usize {
  return quantizedQuery + <usize>(rows * D) * 10;
}

@inline
export function queryNumbers(quantizedQuery: usize, rows: i32, D: i32): usize {
  return quantizedQuery + <usize>(rows * D) * 12;
}

/** The mask of 4 bits in each of 16 bytes. */
@inline
export function maskOf(quantizedQuery: usize, rows: i32, D: i32): v128 {
  return v128.load(queryNumbers(quantizedQuery, rows, D), 16);
}

/** See `QuantizedKernels.quantizeQueries`. `scratch` is room for (2, D) floats. */
export function quantizeQueries(pages: Pages, queries: usize, rows: i32, quantizedQuery: usize, scratch: usize): void {
  const d = pages.headDim;
  const basis = pages.basis;
  const D = rotatedDim(d);
  rotate(queries, rows, d, quantizedQuery, scratch);
  for (let r = 0; r < rows; r++) {
    const row = quantizedQuery + (<usize>(r * D) << 2);
    let maxima = f32x4.splat(0.0);
    for (let i: usize = 0; i < <usize>D << 2; i += 16) maxima = f32x4.max(maxima, f32x4.abs(v128.load(row + i)));
    const maxAbs = maxLanes(maxima);
    const numbers = queryNumbers(quantizedQuery, rows, D) + <usize>(r << 6);
    v128.store(numbers, i8x16.splat(15), 16);
    const ordered = orderedCodes(quantizedQuery, rows, D) + (<usize>(r * D) << 1);
    storeQuantized(row, D, maxAbs, queryCodes(quantizedQuery, rows, D) + (<usize>(r * D) << 1), ordered, numbers);
    const tables = queryTables(quantizedQuery, rows, D) + (<usize>(r * D) << 2);
    if (hasBasis(basis)) {
      // The signs of the rotation, which were in `scratch`, have done their work.
      storeClasses(queries + (<usize>(r * d) << 2), d, basis, true, scratch);
      storeClassTables(scratch, d, tables, numbers);
    } else {
      storeTables(row, D, maxAbs, tables, numbers);
    }
  }
}

/**
 * Writes codes of 16 bits, their step, their sum, and a bound on their error. Of every 16 dimensions the even ones come
 * first, then the odd ones, alternately of the two halves of a row: the order in which a key's codes are unpacked.
 */
@inline
function storeQuantized(row: usize, D: i32, maxAbs: f32, codes: usize, ordered: usize, numbers: usize): void {
  const step = maxAbs / <f32>32767.0;
  const inverse = step > <f32>1e-38 ? <f32>1.0 / step : <f32>0.0;
  let sum = i32x4.splat(0);
  let rest = f32x4.splat(0.0);
  for (let i: usize = 0; i < <usize>D; i += 16) {
    const a = quantizeEight(row + (i << 2), inverse);
    const b = quantizeEight(row + (i << 2) + 32, inverse);
    const ones = i16x8.splat(1);
    sum = i32x4.add(sum, i32x4.add(i32x4.dot_i16x8_s(a, ones), i32x4.dot_i16x8_s(b, ones)));
    rest = f32x4.add(rest, f32x4.add(squaredErrorOfEight(row + (i << 2), inverse, a), squaredErrorOfEight(row + (i << 2) + 32, inverse, b)));
    v128.store(ordered + (i << 1), a);
    v128.store(ordered + (i << 1), b, 16);
    const half = <usize>D >> 1;
    const to = codes + (i < half ? i << 2 : ((i - half) << 2) + 16);
    v128.store(to, v128.shuffle<i16>(a, b, 0, 2, 4, 6, 8, 10, 12, 14));
    v128.store(to, v128.shuffle<i16>(a, b, 1, 3, 5, 7, 9, 11, 13, 15), 32);
  }
  store<f32>(numbers, step);
  store<f32>(numbers, <f32>sumInts(sum), 4);
  // A product of up to 32,767 may be off by 2^-9 of a step; if the step underflows, the row itself is the error.
  const slack = <f32>Math.sqrt(<f64>D) * <f32>0.00390625;
  const left = inverse > 0 ? (<f32>Math.sqrt(<f64>sumLanes(rest)) * <f32>1.001 + slack) * step : maxAbs * <f32>D;
  store<f32>(numbers, left, 12);
}

@inline
function quantizeEight(x: usize, inverse: f32): v128 {
  const low = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x), f32x4.splat(inverse))));
  const high = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x, 16), f32x4.splat(inverse))));
  return i16x8.narrow_i32x4_s(low, high);
}

/** Squared quantization errors of 8 codes, in steps, so that none overflows or underflows: four partial sums. */
@inline
function squaredErrorOfEight(x: usize, inverse: f32, codes: v128): v128 {
  const low = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(codes));
  const high = f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(codes));
  const r0 = f32x4.sub(f32x4.mul(v128.load(x), f32x4.splat(inverse)), low);
  const r1 = f32x4.sub(f32x4.mul(v128.load(x, 16), f32x4.splat(inverse)), high);
  return f32x4.add(f32x4.mul(r0, r0), f32x4.mul(r1, r1));
}

/** The largest code of the tables, and the sum of four, which is added to every entry so that none is negative. */
export const MAX_CODE: i32 = 7;
export const ENTRY_OFFSET: i32 = 4 * MAX_CODE;

/** Writes tables of signed sums of 4-bit codes, and their step. Bit b of an index says that dimension b is negative. */
@inline
function storeTables(row: usize, D: i32, maxAbs: f32, tables: usize, numbers: usize): void {
  const step = maxAbs / <f32>MAX_CODE;
  const inverse = step > <f32>1e-38 ? <f32>1.0 / step : <f32>0.0;
  const bit0 = i8x16(0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1);
  const bit1 = i8x16(0, 0, -1, -1, 0, 0, -1, -1, 0, 0, -1, -1, 0, 0, -1, -1);
  const bit2 = i8x16(0, 0, 0, 0, -1, -1, -1, -1, 0, 0, 0, 0, -1, -1, -1, -1);
  const bit3 = i8x16(0, 0, 0, 0, 0, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1);
  for (let i = 0; i < D; i += 4) {
    const x = f32x4.mul(v128.load(row + (<usize>i << 2)), f32x4.splat(inverse));
    const codes = i32x4.trunc_sat_f32x4_s(f32x4.nearest(x));
    let sums = i8x16.add(i8x16.splat(<i8>ENTRY_OFFSET), signed(i32x4.extract_lane(codes, 0), bit0));
    sums = i8x16.add(sums, signed(i32x4.extract_lane(codes, 1), bit1));
    sums = i8x16.add(sums, signed(i32x4.extract_lane(codes, 2), bit2));
    sums = i8x16.add(sums, signed(i32x4.extract_lane(codes, 3), bit3));
    v128.store(tables + (<usize>i << 2), sums);
  }
  store<f32>(numbers, step, 8);
}

/** `code` in 16 lanes, negative where `negative` is -1. */
@inline
function signed(code: i32, negative: v128): v128 {
  return i8x16.sub(v128.xor(i8x16.splat(<i8>code), negative), negative);
}

/** Offset of the step of the second class's tables in a row's numbers; `bounds.ts` has the bytes before it. */
export const SECOND_STEP: usize = 52;

/** The largest entry of a class's tables, added to every entry so that none is negative: four sum up to 248. */
export const MAX_CLASS_ENTRY: i32 = 31;

/**
 * Writes the tables of both classes (3 d / 4): of 2 dimensions each for the codes of two bits, of 4 for signs. An entry is
 * the sum that a nibble of codes gives, in steps of 1/31 of the largest of the class, and `numbers` get the steps.
 */
@inline
function storeClassTables(classes: usize, d: i32, tables: usize, numbers: usize): void {
  const half = <usize>d << 1;
  const second = classes + <usize>d;
  let largest: f32 = 0;
  for (let i: usize = 0; i < <usize>d; i += 8) {
    largest = max(largest, abs(load<f32>(classes + i)) + abs(load<f32>(classes + i, 4)));
  }
  largest *= HIGH_LEVEL;
  let inverse: f32 = largest > <f32>1e-36 ? <f32>MAX_CLASS_ENTRY / largest : 0;
  store<f32>(numbers, largest / <f32>MAX_CLASS_ENTRY, 8);
  let to = tables;
  for (let i: usize = 0; i < <usize>d; i += 8) {
    const a = load<f32>(classes + i) * inverse;
    const b = load<f32>(classes + i, 4) * inverse;
    for (let code = 0; code < 16; code++) {
      const x = a * (code & 4 ? HIGH_LEVEL : LOW_LEVEL);
      const y = b * (code & 8 ? HIGH_LEVEL : LOW_LEVEL);
      const sum = (code & 1 ? -x : x) + (code & 2 ? -y : y);
      store<u8>(to++, <u8>(<i32>nearest<f32>(sum) + MAX_CLASS_ENTRY));
    }
  }
  largest = 0;
  for (let i: usize = 0; i < half; i += 16) {
    const x = f32x4.abs(v128.load(second + i));
    largest = max(largest, sumLanes(x));
  }
  inverse = largest > <f32>1e-36 ? <f32>MAX_CLASS_ENTRY / largest : 0;
  store<f32>(numbers, largest / <f32>MAX_CLASS_ENTRY, SECOND_STEP);
  for (let i: usize = 0; i < half; i += 16) {
    const a = load<f32>(second + i) * inverse;
    const b = load<f32>(second + i, 4) * inverse;
    const c = load<f32>(second + i, 8) * inverse;
    const e = load<f32>(second + i, 12) * inverse;
    for (let code = 0; code < 16; code++) {
      const low = (code & 1 ? -a : a) + (code & 2 ? -b : b);
      const high = (code & 4 ? -c : c) + (code & 8 ? -e : e);
      store<u8>(to++, <u8>(<i32>nearest<f32>(low + high) + MAX_CLASS_ENTRY));
    }
  }
}
