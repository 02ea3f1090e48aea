/**
 * The scan by signs. A query is rotated and prepared once: for every 4 dimensions, a table of the 16 sums that their signs
 * can give, from codes of 4 bits, so that one instruction looks up 4 bits of 16 keys (RaBitQ's fast scan, arXiv
 * 2405.12497), whose signs are interleaved for it. Sums and scores have 16 bits, 8 to a vector.
 *
 * Prepared query rows: rotated rows (rows, D) of float32; codes (rows, D) of int16 in the order of a key's codes; tables
 * (rows, D / 4, 16) of uint8; codes (rows, D) of int16 in the order of the dimensions; and 64 bytes for each row: the step
 * of its codes, the sum of its codes, the step of its tables and a bound on the norm of its quantization error, float32;
 * then 16 bytes of 15, the mask of 4 bits: a constant from memory stays in a register, one in the code is made anew at
 * every use.
 */
import { maxLanes, sumLanes } from './exponential';
import { sumInts } from './lanes';
import { Pages } from './generated';
import { PAGE_KEYS, pageAddress } from './pages';
import { rotatedDim, rotate } from './rotate';

@inline
export function queryCodes(quantizedQuery: usize, rows: i32, D: i32): usize {
  return quantizedQuery + (<usize>(rows * D) << 2);
}

@inline
function queryTables(quantizedQuery: usize, rows: i32, D: i32): usize {
  return quantizedQuery + <usize>(rows * D) * 6;
}

/** The codes in the order of the dimensions, as a page's centre has them. */
@inline
function orderedCodes(quantizedQuery: usize, rows: i32, D: i32): usize {
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
export function quantizeQueries(queries: usize, rows: i32, d: i32, quantizedQuery: usize, scratch: usize): void {
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
    storeTables(row, D, maxAbs, queryTables(quantizedQuery, rows, D) + (<usize>(r * D) << 2), numbers);
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
const MAX_CODE: i32 = 7;
const ENTRY_OFFSET: i32 = 4 * MAX_CODE;

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

/**
 * See `QuantizedKernels.scanSigns`. `fractionBits` are the fractional bits of a score in powers of two.
 */
export function scanSigns(
  pages: Pages,
  from: i32,
  to: i32,
  quantizedQuery: usize,
  rows: i32,
  fractionBits: i32,
  scans: usize,
  stride: i32,
  bases: usize,
  baseStride: i32,
): void {
  const table = pages.table;
  const headOffset = pages.headOffset;
  const d = pages.headDim;
  const encodingOffset = pages.sign;
  const D = rotatedDim(d);
  const rowBytes = <usize>stride << 1;
  const unit = scanUnitsPerNat(fractionBits);
  for (let start = from; start < to; start += PAGE_KEYS) {
    const signs = pageAddress(table, headOffset + encodingOffset, start / PAGE_KEYS);
    const first = scans + (<usize>(start - from) << 1);
    const number = (start - from) / PAGE_KEYS;
    if ((number & (PREFETCH_PAGES - 1)) == 0) {
      prefetchPages(table, headOffset + encodingOffset, start / PAGE_KEYS, min(PREFETCH_PAGES, (to - start) / PAGE_KEYS), D, first);
    }
    const base = bases + (<usize>number << 2);
    let r = 0;
    for (; r + 3 <= rows; r += 3) {
      scanPage3(signs, D, quantizedQuery, rows, r, unit, first + <usize>r * rowBytes, rowBytes, base, baseStride);
    }
    for (; r < rows; r++) {
      scanPage1(signs, D, quantizedQuery, rows, r, unit, first + <usize>r * rowBytes, base + (<usize>(r * baseStride) << 2));
    }
  }
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

/** Pages that are prefetched together. */
const PREFETCH_PAGES: i32 = 4;

/**
 * Prefetches the signs and factors of some pages, by a read of every cache line: pages of a head lie too far apart for the
 * hardware prefetcher. The sum goes to `sink`, which is overwritten later.
 */
@inline
function prefetchPages(table: usize, encodingOffset: usize, page: i32, count: i32, D: i32, sink: usize): void {
  const bytes = (<usize>D << 3) + (PAGE_KEYS << 1) + <usize>D;
  let sum: u32 = 0;
  for (let i = 0; i < count; i++) {
    const address = pageAddress(table, encodingOffset, page + i);
    for (let at: usize = 0; at < bytes; at += 64) sum += <u32>load<u8>(address + at);
  }
  store<u32>(sink, sum);
}

/** Sums of four look-ups, 16 dimensions, for 16 keys: at most 4 * 56. */
@inline
function lookUp(table: usize, a: v128, b: v128, c: v128, e: v128): v128 {
  const low = i8x16.add(i8x16.swizzle(v128.load(table), a), i8x16.swizzle(v128.load(table, 16), b));
  const high = i8x16.add(i8x16.swizzle(v128.load(table, 32), c), i8x16.swizzle(v128.load(table, 48), e));
  return i8x16.add(low, high);
}

/**
 * Conversion of a row's sums of codes to units, by products of 16-bit fractions: a sum, shifted left as far as possible,
 * is multiplied by its key's factor, then by `scaleQ15`, and doubled `scaleShift` times, all within 16 bits.
 */
let scaleQ15: i32 = 0;
let scaleShift: i32 = 0;

@inline
function shiftOf(D: i32): i32 {
  // Sums are at most 7 D.
  return 14 - (31 - clz(MAX_CODE * D));
}

/** Sets `scaleQ15` and `scaleShift` for a page and a row. */
@inline
function setScale(centre: usize, numbers: usize, D: i32, unit: f32): void {
  // A factor of 1 is 32,767 / 32,768.
  const scale = load<f32>(numbers, 8) * unit * pageFactor(centre, D) * pow2(-shiftOf(D)) * <f32>(32768.0 / 32767.0);
  scaleShift = 0;
  let rest = min(scale, <f32>32767.0);
  while (rest >= <f32>0.99998) {
    rest *= <f32>0.5;
    scaleShift++;
  }
  scaleQ15 = <i32>nearest<f32>(rest * <f32>32768.0);
}

/** <Rq, c> of a page in nats, from the query's int16 codes. */
@inline
function centreByCodes(codes: usize, centre: usize, D: i32, step: f32): f32 {
  let sum = i32x4.splat(0);
  for (let i: usize = 0; i < <usize>D; i += 16) {
    const c = v128.load(centre + i);
    const q = codes + (i << 1);
    sum = i32x4.add(sum, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(c), v128.load(q)));
    sum = i32x4.add(sum, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(c), v128.load(q, 16)));
  }
  return <f32>sumInts(sum) * step * load<f32>(centre + <usize>D);
}

/** Scores a page's keys for one row. */
@inline
function scanPage1(
  signs: usize,
  D: i32,
  quantizedQuery: usize,
  rows: i32,
  r: i32,
  unit: f32,
  scans: usize,
  base: usize,
): void {
  const fifteen = maskOf(quantizedQuery, rows, D);
  const groupBytes = <usize>D << 1;
  const tables = queryTables(quantizedQuery, rows, D) + (<usize>(r * D) << 2);
  const numbers = queryNumbers(quantizedQuery, rows, D) + <usize>(r << 6);
  const centre = signs + centreOffset(D);
  const score = centreByCodes(orderedCodes(quantizedQuery, rows, D) + (<usize>(r * D) << 1), centre, D, load<f32>(numbers));
  store<f32>(base, score);
  const middle = i16x8.splat(<i16>toScanUnits(score * unit));
  setScale(centre, numbers, D, unit);
  const times = i16x8.splat(<i16>scaleQ15);
  const double = scaleShift;
  const shift = shiftOf(D);
  const offset = i16x8.splat(<i16>((D >> 2) * ENTRY_OFFSET));
  let factors = signs + factorsOffset(D);
  let at = signs;
  for (let group = 0; group < 4; group++) {
    let both = i16x8.splat(0);
    let odd = i16x8.splat(0);
    const end = at + groupBytes;
    let table = tables;
    while (at < end) {
      const x = v128.load(at);
      const y = v128.load(at, 16);
      const sums = lookUp(
        table,
        v128.and(x, fifteen),
        v128.and(i16x8.shr_u(x, 4), fifteen),
        v128.and(y, fifteen),
        v128.and(i16x8.shr_u(y, 4), fifteen),
      );
      both = i16x8.add(both, sums);
      odd = i16x8.add(odd, i16x8.shr_u(sums, 8));
      at += 32;
      table += 64;
    }
    storeGroup(both, odd, factors, offset, shift, times, double, middle, scans);
    factors += 32;
    scans += 32;
  }
}

/** Scores a page's keys for three rows, which share the reads of the signs. */
@inline
function scanPage3(
  signs: usize,
  D: i32,
  quantizedQuery: usize,
  rows: i32,
  r: i32,
  unit: f32,
  scans: usize,
  rowBytes: usize,
  bases: usize,
  baseStride: i32,
): void {
  const fifteen = maskOf(quantizedQuery, rows, D);
  const groupBytes = <usize>D << 1;
  const tableBytes = <usize>D << 2;
  const codeBytes = <usize>D << 1;
  const tables = queryTables(quantizedQuery, rows, D) + (<usize>(r * D) << 2);
  const numbers = queryNumbers(quantizedQuery, rows, D) + <usize>(r << 6);
  const codes = orderedCodes(quantizedQuery, rows, D) + (<usize>(r * D) << 1);
  const centre = signs + centreOffset(D);
  const base = bases + (<usize>(r * baseStride) << 2);
  const baseBytes = <usize>baseStride << 2;
  const s0 = centreByCodes(codes, centre, D, load<f32>(numbers));
  const s1 = centreByCodes(codes + codeBytes, centre, D, load<f32>(numbers, 64));
  const s2 = centreByCodes(codes + (codeBytes << 1), centre, D, load<f32>(numbers, 128));
  store<f32>(base, s0);
  store<f32>(base + baseBytes, s1);
  store<f32>(base + (baseBytes << 1), s2);
  const middle0 = i16x8.splat(<i16>toScanUnits(s0 * unit));
  const middle1 = i16x8.splat(<i16>toScanUnits(s1 * unit));
  const middle2 = i16x8.splat(<i16>toScanUnits(s2 * unit));
  setScale(centre, numbers, D, unit);
  const times0 = i16x8.splat(<i16>scaleQ15);
  const double0 = scaleShift;
  setScale(centre, numbers + 64, D, unit);
  const times1 = i16x8.splat(<i16>scaleQ15);
  const double1 = scaleShift;
  setScale(centre, numbers + 128, D, unit);
  const times2 = i16x8.splat(<i16>scaleQ15);
  const double2 = scaleShift;
  const shift = shiftOf(D);
  const offset = i16x8.splat(<i16>((D >> 2) * ENTRY_OFFSET));
  let factors = signs + factorsOffset(D);
  let at = signs;
  for (let group = 0; group < 4; group++) {
    let both0 = i16x8.splat(0);
    let both1 = i16x8.splat(0);
    let both2 = i16x8.splat(0);
    let odd0 = i16x8.splat(0);
    let odd1 = i16x8.splat(0);
    let odd2 = i16x8.splat(0);
    const end = at + groupBytes;
    let table = tables;
    while (at < end) {
      const x = v128.load(at);
      const y = v128.load(at, 16);
      const a = v128.and(x, fifteen);
      const b = v128.and(i16x8.shr_u(x, 4), fifteen);
      const c = v128.and(y, fifteen);
      const e = v128.and(i16x8.shr_u(y, 4), fifteen);
      let sums = lookUp(table, a, b, c, e);
      both0 = i16x8.add(both0, sums);
      odd0 = i16x8.add(odd0, i16x8.shr_u(sums, 8));
      sums = lookUp(table + tableBytes, a, b, c, e);
      both1 = i16x8.add(both1, sums);
      odd1 = i16x8.add(odd1, i16x8.shr_u(sums, 8));
      sums = lookUp(table + (tableBytes << 1), a, b, c, e);
      both2 = i16x8.add(both2, sums);
      odd2 = i16x8.add(odd2, i16x8.shr_u(sums, 8));
      at += 32;
      table += 64;
    }
    storeGroup(both0, odd0, factors, offset, shift, times0, double0, middle0, scans);
    storeGroup(both1, odd1, factors, offset, shift, times1, double1, middle1, scans + rowBytes);
    storeGroup(both2, odd2, factors, offset, shift, times2, double2, middle2, scans + (rowBytes << 1));
    factors += 32;
    scans += 32;
  }
}

/**
 * Stores the scores of 16 keys for one row. `both` has the sums of the first 8 keys, plus 256 times those of the last 8;
 * `odd` has those of the last 8.
 */
@inline
function storeGroup(
  both: v128,
  odd: v128,
  factors: usize,
  offset: v128,
  shift: i32,
  times: v128,
  double: i32,
  middle: v128,
  scans: usize,
): void {
  const first = i16x8.sub(both, i16x8.shl(odd, 8));
  let x = i16x8.shl(i16x8.sub(first, offset), shift);
  let y = i16x8.shl(i16x8.sub(odd, offset), shift);
  x = i16x8.q15mulr_sat_s(i16x8.q15mulr_sat_s(x, v128.load(factors)), times);
  y = i16x8.q15mulr_sat_s(i16x8.q15mulr_sat_s(y, v128.load(factors, 16)), times);
  for (let i = 0; i < double; i++) {
    x = i16x8.add_sat_s(x, x);
    y = i16x8.add_sat_s(y, y);
  }
  v128.store(scans, i16x8.add_sat_s(x, middle));
  v128.store(scans, i16x8.add_sat_s(y, middle), 16);
}
