/**
 * The scan by signs. A query is rotated and prepared once: for every 4 dimensions a table of the 16 sums that their
 * signs can give, of codes of 5 bits, so that 4 bits of 16 keys are looked up by one instruction (RaBitQ's fast scan,
 * arXiv 2405.12497). The signs of 16 keys lie side by side for it.
 *
 * A prepared query of `rows` rows: rotated rows (rows, D) of float32; codes (rows, D) of int16; tables (rows, D / 4, 16)
 * of int8; and for each row 64 bytes, of which are used: the step of its codes, the sum of its codes, the step of its
 * tables, and a bound on the norm of what the codes leave out, all float32; then 16 bytes of 15, the mask of 4 bits: a
 * constant that is read from memory stays in a register, where one in the code is made anew at every use.
 */
import { maxLanes, sumLanes } from './exponential';
import { sumInts } from './lanes';
import { PAGE_KEYS, pageAddress } from './pages';
import { codeDim, rotate } from './rotate';

@inline
export function queryCodes(codeQuery: usize, rows: i32, D: i32): usize {
  return codeQuery + (<usize>(rows * D) << 2);
}

@inline
function queryTables(codeQuery: usize, rows: i32, D: i32): usize {
  return codeQuery + <usize>(rows * D) * 6;
}

@inline
export function queryNumbers(codeQuery: usize, rows: i32, D: i32): usize {
  return codeQuery + <usize>(rows * D) * 10;
}

/** The mask of 4 bits in each of 16 bytes. */
@inline
export function maskOf(codeQuery: usize, rows: i32, D: i32): v128 {
  return v128.load(queryNumbers(codeQuery, rows, D), 16);
}

/** See `CodeKernels.prepareCodes`. `scratch` is room for (2, D) floats. */
export function prepareCodes(queries: usize, rows: i32, d: i32, codeQuery: usize, scratch: usize): void {
  const D = codeDim(d);
  rotate(queries, rows, d, codeQuery, scratch);
  for (let r = 0; r < rows; r++) {
    const row = codeQuery + (<usize>(r * D) << 2);
    let most = f32x4.splat(0.0);
    for (let i: usize = 0; i < <usize>D << 2; i += 16) most = f32x4.max(most, f32x4.abs(v128.load(row + i)));
    const largest = maxLanes(most);
    const numbers = queryNumbers(codeQuery, rows, D) + <usize>(r << 6);
    v128.store(numbers, i8x16.splat(15), 16);
    storeCodes(row, D, largest, queryCodes(codeQuery, rows, D) + (<usize>(r * D) << 1), numbers);
    storeTables(row, D, largest, queryTables(codeQuery, rows, D) + (<usize>(r * D) << 2), numbers);
  }
}

/**
 * Codes of 16 bits, their step, their sum, and what they leave out. Of every 16 dimensions of either half come first
 * the even ones, then the odd ones, those of the two halves by turns: the order in which `codes.ts` unpacks a key's.
 */
@inline
function storeCodes(row: usize, D: i32, largest: f32, codes: usize, numbers: usize): void {
  const step = largest / <f32>32767.0;
  const inverse = step > <f32>1e-38 ? <f32>1.0 / step : <f32>0.0;
  let sum = i32x4.splat(0);
  let rest = f32x4.splat(0.0);
  for (let i: usize = 0; i < <usize>D; i += 16) {
    const a = codesOfEight(row + (i << 2), inverse);
    const b = codesOfEight(row + (i << 2) + 32, inverse);
    const ones = i16x8.splat(1);
    sum = i32x4.add(sum, i32x4.add(i32x4.dot_i16x8_s(a, ones), i32x4.dot_i16x8_s(b, ones)));
    rest = f32x4.add(rest, f32x4.add(restOfEight(row + (i << 2), inverse, a), restOfEight(row + (i << 2) + 32, inverse, b)));
    const half = <usize>D >> 1;
    const to = codes + (i < half ? i << 2 : ((i - half) << 2) + 16);
    v128.store(to, v128.shuffle<i16>(a, b, 0, 2, 4, 6, 8, 10, 12, 14));
    v128.store(to, v128.shuffle<i16>(a, b, 1, 3, 5, 7, 9, 11, 13, 15), 32);
  }
  store<f32>(numbers, step);
  store<f32>(numbers, <f32>sumInts(sum), 4);
  // A product of up to 32,767 may be off by 2^-9 of a step; where the step has vanished, the row itself is left out.
  const slack = <f32>Math.sqrt(<f64>D) * <f32>0.00390625;
  const left = inverse > 0 ? (<f32>Math.sqrt(<f64>sumLanes(rest)) * <f32>1.001 + slack) * step : largest * <f32>D;
  store<f32>(numbers, left, 12);
}

@inline
function codesOfEight(x: usize, inverse: f32): v128 {
  const low = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x), f32x4.splat(inverse))));
  const high = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x, 16), f32x4.splat(inverse))));
  return i16x8.narrow_i32x4_s(low, high);
}

/** Squares of what 8 codes leave out, in steps, so that none overflows or vanishes: four, to be added. */
@inline
function restOfEight(x: usize, inverse: f32, codes: v128): v128 {
  const low = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(codes));
  const high = f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(codes));
  const r0 = f32x4.sub(f32x4.mul(v128.load(x), f32x4.splat(inverse)), low);
  const r1 = f32x4.sub(f32x4.mul(v128.load(x, 16), f32x4.splat(inverse)), high);
  return f32x4.add(f32x4.mul(r0, r0), f32x4.mul(r1, r1));
}

/** Tables of sums of 5-bit codes, and their step. Bit b of an entry's number says that dimension b is negative. */
@inline
function storeTables(row: usize, D: i32, largest: f32, tables: usize, numbers: usize): void {
  const step = largest / <f32>15.0;
  const inverse = step > <f32>1e-38 ? <f32>1.0 / step : <f32>0.0;
  const bit0 = i8x16(0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1);
  const bit1 = i8x16(0, 0, -1, -1, 0, 0, -1, -1, 0, 0, -1, -1, 0, 0, -1, -1);
  const bit2 = i8x16(0, 0, 0, 0, -1, -1, -1, -1, 0, 0, 0, 0, -1, -1, -1, -1);
  const bit3 = i8x16(0, 0, 0, 0, 0, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1);
  for (let i = 0; i < D; i += 4) {
    const x = f32x4.mul(v128.load(row + (<usize>i << 2)), f32x4.splat(inverse));
    const codes = i32x4.trunc_sat_f32x4_s(f32x4.nearest(x));
    let sums = signed(i32x4.extract_lane(codes, 0), bit0);
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

/** <Rq, c> of a page, with the centre's codes at `centre` and their step behind them. */
@inline
export function centreScore(rotated: usize, centre: usize, D: i32): f32 {
  let sum = f32x4.splat(0.0);
  for (let i: usize = 0; i < <usize>D; i += 16) {
    const c = v128.load(centre + i);
    const low = i16x8.extend_low_i8x16_s(c);
    const high = i16x8.extend_high_i8x16_s(c);
    const q = rotated + (i << 2);
    sum = f32x4.add(sum, f32x4.mul(v128.load(q), f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low))));
    sum = f32x4.add(sum, f32x4.mul(v128.load(q, 16), f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low))));
    sum = f32x4.add(sum, f32x4.mul(v128.load(q, 32), f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high))));
    sum = f32x4.add(sum, f32x4.mul(v128.load(q, 48), f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high))));
  }
  return sumLanes(sum) * load<f32>(centre + <usize>D);
}

/** See `CodeKernels.scanSigns`. `plane` is the offset of the plane sign in a head's page. */
export function scanSigns(
  table: usize,
  headOffset: usize,
  d: i32,
  plane: usize,
  from: i32,
  to: i32,
  codeQuery: usize,
  rows: i32,
  scores: usize,
  stride: i32,
  bases: usize,
  baseStride: i32,
): void {
  const D = codeDim(d);
  const centreOffset = (<usize>D << 3) + (PAGE_KEYS << 1);
  const rowBytes = <usize>stride << 2;
  for (let start = from; start < to; start += PAGE_KEYS) {
    const signs = pageAddress(table, headOffset + plane, start / PAGE_KEYS);
    const first = scores + (<usize>(start - from) << 2);
    const number = (start - from) / PAGE_KEYS;
    if ((number & (PAGES_AHEAD - 1)) == 0) {
      touchPages(table, headOffset + plane, start / PAGE_KEYS, min(PAGES_AHEAD, (to - start) / PAGE_KEYS), D, first);
    }
    const base = bases + (<usize>number << 2);
    for (let r = 0; r < rows; r++) {
      const score = centreScore(codeQuery + (<usize>(r * D) << 2), signs + centreOffset, D);
      store<f32>(base + (<usize>(r * baseStride) << 2), score);
    }
    let r = 0;
    for (; r + 3 <= rows; r += 3) {
      scanPage3(signs, D, codeQuery, rows, r, first + <usize>r * rowBytes, rowBytes, base, baseStride);
    }
    for (; r < rows; r++) scanPage1(signs, D, codeQuery, rows, r, first + <usize>r * rowBytes, base, baseStride);
  }
}

/** Pages whose lines are asked for together, so that the waits for memory overlap. */
const PAGES_AHEAD: i32 = 4;

/**
 * Reads a number of every line of some pages' signs and factors: pages of a head lie too far apart for the hardware to
 * see them coming. The sum goes to `sink`, which is written again afterwards.
 */
@inline
function touchPages(table: usize, planeOffset: usize, page: i32, count: i32, D: i32, sink: usize): void {
  const bytes = (<usize>D << 3) + (PAGE_KEYS << 1) + <usize>D;
  let sum: u32 = 0;
  for (let i = 0; i < count; i++) {
    const address = pageAddress(table, planeOffset, page + i);
    for (let at: usize = 0; at < bytes; at += 64) sum += <u32>load<u8>(address + at);
  }
  store<u32>(sink, sum);
}

/** Sums of two look-ups for 16 keys: 4 bits of their signs each. */
@inline
function lookUp(table: usize, low: v128, high: v128): v128 {
  return i8x16.add(i8x16.swizzle(v128.load(table), low), i8x16.swizzle(v128.load(table, 16), high));
}

/** The scores of a page's keys for one row. */
@inline
function scanPage1(
  signs: usize,
  D: i32,
  codeQuery: usize,
  rows: i32,
  r: i32,
  scores: usize,
  bases: usize,
  baseStride: i32,
): void {
  const fifteen = maskOf(codeQuery, rows, D);
  const groupBytes = <usize>D << 1;
  const tables = queryTables(codeQuery, rows, D) + (<usize>(r * D) << 2);
  let factors = signs + (<usize>D << 3);
  let at = signs;
  for (let group = 0; group < 4; group++) {
    let low = i16x8.splat(0);
    let high = i16x8.splat(0);
    const end = at + groupBytes;
    let table = tables;
    while (at < end) {
      const bits = v128.load(at);
      const sums = lookUp(table, v128.and(bits, fifteen), v128.and(i16x8.shr_u(bits, 4), fifteen));
      low = i16x8.add(low, i16x8.extend_low_i8x16_s(sums));
      high = i16x8.add(high, i16x8.extend_high_i8x16_s(sums));
      at += 16;
      table += 32;
    }
    storeGroup(low, high, factors, codeQuery, rows, r, D, bases, baseStride, scores);
    factors += 32;
    scores += 64;
  }
}

/** The same for three rows, which share what is read of the signs. */
@inline
function scanPage3(
  signs: usize,
  D: i32,
  codeQuery: usize,
  rows: i32,
  r: i32,
  scores: usize,
  rowBytes: usize,
  bases: usize,
  baseStride: i32,
): void {
  const fifteen = maskOf(codeQuery, rows, D);
  const groupBytes = <usize>D << 1;
  const tableBytes = <usize>D << 2;
  const tables = queryTables(codeQuery, rows, D) + (<usize>(r * D) << 2);
  let factors = signs + (<usize>D << 3);
  let at = signs;
  for (let group = 0; group < 4; group++) {
    let low0 = i16x8.splat(0);
    let low1 = i16x8.splat(0);
    let low2 = i16x8.splat(0);
    let high0 = i16x8.splat(0);
    let high1 = i16x8.splat(0);
    let high2 = i16x8.splat(0);
    const end = at + groupBytes;
    let table0 = tables;
    let table1 = table0 + tableBytes;
    let table2 = table1 + tableBytes;
    while (at < end) {
      const bits = v128.load(at);
      const lower = v128.and(bits, fifteen);
      const upper = v128.and(i16x8.shr_u(bits, 4), fifteen);
      let sums = lookUp(table0, lower, upper);
      low0 = i16x8.add(low0, i16x8.extend_low_i8x16_s(sums));
      high0 = i16x8.add(high0, i16x8.extend_high_i8x16_s(sums));
      sums = lookUp(table1, lower, upper);
      low1 = i16x8.add(low1, i16x8.extend_low_i8x16_s(sums));
      high1 = i16x8.add(high1, i16x8.extend_high_i8x16_s(sums));
      sums = lookUp(table2, lower, upper);
      low2 = i16x8.add(low2, i16x8.extend_low_i8x16_s(sums));
      high2 = i16x8.add(high2, i16x8.extend_high_i8x16_s(sums));
      at += 16;
      table0 += 32;
      table1 += 32;
      table2 += 32;
    }
    storeGroup(low0, high0, factors, codeQuery, rows, r, D, bases, baseStride, scores);
    storeGroup(low1, high1, factors, codeQuery, rows, r + 1, D, bases, baseStride, scores + rowBytes);
    storeGroup(low2, high2, factors, codeQuery, rows, r + 2, D, bases, baseStride, scores + (rowBytes << 1));
    factors += 32;
    scores += 64;
  }
}

/** base + factor * step * sum for 16 keys of one row; the factors are the upper halves of floats. */
@inline
function storeGroup(
  low: v128,
  high: v128,
  factors: usize,
  codeQuery: usize,
  rows: i32,
  r: i32,
  D: i32,
  bases: usize,
  baseStride: i32,
  scores: usize,
): void {
  const step = v128.load32_splat(queryNumbers(codeQuery, rows, D) + <usize>(r << 6), 8);
  const base = v128.load32_splat(bases + (<usize>(r * baseStride) << 2));
  const f0 = v128.load(factors);
  const f1 = v128.load(factors, 16);
  storeFour(i32x4.extend_low_i16x8_s(low), i32x4.extend_low_i16x8_u(f0), step, base, scores);
  storeFour(i32x4.extend_high_i16x8_s(low), i32x4.extend_high_i16x8_u(f0), step, base, scores + 16);
  storeFour(i32x4.extend_low_i16x8_s(high), i32x4.extend_low_i16x8_u(f1), step, base, scores + 32);
  storeFour(i32x4.extend_high_i16x8_s(high), i32x4.extend_high_i16x8_u(f1), step, base, scores + 48);
}

@inline
function storeFour(sums: v128, upperFactors: v128, step: v128, base: v128, destination: usize): void {
  const factors = f32x4.mul(i32x4.shl(upperFactors, 16), step);
  v128.store(destination, f32x4.add(base, f32x4.mul(factors, f32x4.convert_i32x4_s(sums))));
}
