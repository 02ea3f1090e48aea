/**
 * The scan by signs. A query is rotated and prepared once: for every 4 dimensions, a table of the 16 sums that their signs
 * can give, from codes of 4 bits, so that one instruction looks up 4 bits of 16 keys (RaBitQ's fast scan, arXiv
 * 2405.12497), whose signs are interleaved for it. Sums and scores have 16 bits, 8 to a vector.
 */
import { hasBasis } from './classes';
import { Pages } from './generated';
import { PAGE_KEYS, pageAddress } from './pages';
import { ENTRY_OFFSET, MAX_CODE, maskOf, orderedCodes, queryNumbers, queryTables } from './prepared-queries';
import { rotatedDim } from './rotate';
import { scanClasses1, scanClasses3 } from './scan-classes';
import { centreByCodes, centreOffset, factorsOffset, lookUp, pageFactor, pow2, scaleQ15, scaleShift, scanUnitsPerNat, setScale, toScanUnits } from './scan-parts';

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
    if (hasBasis(pages.basis)) {
      for (; r + 3 <= rows; r += 3) {
        scanClasses3(signs, D, quantizedQuery, rows, r, unit, first + <usize>r * rowBytes, rowBytes, base, baseStride);
      }
      for (; r < rows; r++) {
        scanClasses1(signs, D, quantizedQuery, rows, r, unit, first + <usize>r * rowBytes, base + (<usize>(r * baseStride) << 2));
      }
      continue;
    }
    for (; r + 3 <= rows; r += 3) {
      scanPage3(signs, D, quantizedQuery, rows, r, unit, first + <usize>r * rowBytes, rowBytes, base, baseStride);
    }
    for (; r < rows; r++) {
      scanPage1(signs, D, quantizedQuery, rows, r, unit, first + <usize>r * rowBytes, base + (<usize>(r * baseStride) << 2));
    }
  }
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

@inline
function shiftOf(D: i32): i32 {
  // Sums are at most 7 D.
  return 14 - (31 - clz(MAX_CODE * D));
}

/** Sets the conversion of sums to units for a page and a row. */
@inline
function setPageScale(centre: usize, numbers: usize, D: i32, unit: f32): void {
  // A factor of 1 is 32,767 / 32,768.
  setScale(load<f32>(numbers, 8) * unit * pageFactor(centre, D) * pow2(-shiftOf(D)) * <f32>(32768.0 / 32767.0));
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
  setPageScale(centre, numbers, D, unit);
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
  setPageScale(centre, numbers, D, unit);
  const times0 = i16x8.splat(<i16>scaleQ15);
  const double0 = scaleShift;
  setPageScale(centre, numbers + 64, D, unit);
  const times1 = i16x8.splat(<i16>scaleQ15);
  const double1 = scaleShift;
  setPageScale(centre, numbers + 128, D, unit);
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
