/**
 * The scan of a head that has a basis: as the scan by signs, but with two classes of dimensions, each with tables and
 * factors of its own (`classes.ts`).
 */
import { CLASS_FACTOR_SCALE } from './generated';
import { PAGE_KEYS } from './pages';
import { MAX_CLASS_ENTRY, maskOf, orderedCodes, queryNumbers, queryTables, SECOND_STEP } from './prepared-queries';
import { centreByCodes, centreOffset, factorsOffset, lookUp, pow2, scaleQ15, scaleShift, setScale, toScanUnits } from './scan-parts';

/** Sums of a class are at most 31 D / 8. */
@inline
function shiftOf(D: i32): i32 {
  return 14 - (31 - clz((MAX_CLASS_ENTRY * D) >> 3));
}

/** Sets the conversion of sums to units for a page's largest factor and the step of a row's tables. */
@inline
function setClassScale(maxFactor: f32, step: f32, D: i32, unit: f32): void {
  setScale(step * unit * maxFactor * pow2(-shiftOf(D)) * <f32>(32768.0 / <f64>(CLASS_FACTOR_SCALE << 7)));
}

/** Scores a page's keys for one row. */
@inline
export function scanClasses1(
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
  const numbers = queryNumbers(quantizedQuery, rows, D) + <usize>(r << 6);
  const centre = signs + centreOffset(D);
  const score = centreByCodes(orderedCodes(quantizedQuery, rows, D) + (<usize>(r * D) << 1), centre, D, load<f32>(numbers));
  store<f32>(base, score);
  const middle = i16x8.splat(<i16>toScanUnits(score * unit));
  for (let i: usize = 0; i < <usize>(PAGE_KEYS << 1); i += 16) v128.store(scans + i, middle);
  const shift = shiftOf(D);
  const offset = i16x8.splat(<i16>((D >> 3) * MAX_CLASS_ENTRY));
  for (let part: usize = 0; part < 2; part++) {
    const tables = queryTables(quantizedQuery, rows, D) + (<usize>(r * D) << 2) + part * (<usize>D << 1);
    setClassScale(load<f32>(centre + <usize>D + (part << 2), 4), load<f32>(numbers + part * (SECOND_STEP - 8), 8), D, unit);
    const times = i16x8.splat(<i16>scaleQ15);
    const double = scaleShift;
    let factors = signs + factorsOffset(D) + part * <usize>PAGE_KEYS;
    let first = signs + part * <usize>D;
    let to = scans;
    for (let group = 0; group < 4; group++) {
      let both = i16x8.splat(0);
      let odd = i16x8.splat(0);
      let table = tables;
      const end = first + <usize>D;
      for (let at = first; at < end; at += 32) {
        const x = v128.load(at);
        const y = v128.load(at, 16);
        const a = v128.and(x, fifteen);
        const b = v128.and(i16x8.shr_u(x, 4), fifteen);
        const c = v128.and(y, fifteen);
        const e = v128.and(i16x8.shr_u(y, 4), fifteen);
        const sums = lookUp(table, a, b, c, e);
        both = i16x8.add(both, sums);
        odd = i16x8.add(odd, i16x8.shr_u(sums, 8));
        table += 64;
      }
      addGroup(both, odd, factors, offset, shift, times, double, to);
      first += <usize>D << 1;
      factors += 16;
      to += 32;
    }
  }
}

/** Scores a page's keys for three rows, which share the reads of the codes. */
@inline
export function scanClasses3(
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
  const tableBytes = <usize>D << 2;
  const numbers = queryNumbers(quantizedQuery, rows, D) + <usize>(r << 6);
  const centre = signs + centreOffset(D);
  for (let row = 0; row < 3; row++) {
    const codes = orderedCodes(quantizedQuery, rows, D) + (<usize>((r + row) * D) << 1);
    const score = centreByCodes(codes, centre, D, load<f32>(numbers + <usize>(row << 6)));
    store<f32>(bases + (<usize>((r + row) * baseStride) << 2), score);
    const middle = i16x8.splat(<i16>toScanUnits(score * unit));
    const to = scans + <usize>row * rowBytes;
    for (let i: usize = 0; i < <usize>(PAGE_KEYS << 1); i += 16) v128.store(to + i, middle);
  }
  const shift = shiftOf(D);
  const offset = i16x8.splat(<i16>((D >> 3) * MAX_CLASS_ENTRY));
  for (let part: usize = 0; part < 2; part++) {
    const tables = queryTables(quantizedQuery, rows, D) + (<usize>(r * D) << 2) + part * (<usize>D << 1);
    const maxFactor = load<f32>(centre + <usize>D + (part << 2), 4);
    const steps = numbers + part * (SECOND_STEP - 8);
    setClassScale(maxFactor, load<f32>(steps, 8), D, unit);
    const times0 = i16x8.splat(<i16>scaleQ15);
    const double0 = scaleShift;
    setClassScale(maxFactor, load<f32>(steps, 72), D, unit);
    const times1 = i16x8.splat(<i16>scaleQ15);
    const double1 = scaleShift;
    setClassScale(maxFactor, load<f32>(steps, 136), D, unit);
    const times2 = i16x8.splat(<i16>scaleQ15);
    const double2 = scaleShift;
    let factors = signs + factorsOffset(D) + part * <usize>PAGE_KEYS;
    let first = signs + part * <usize>D;
    let to = scans;
    for (let group = 0; group < 4; group++) {
      let both0 = i16x8.splat(0);
      let both1 = i16x8.splat(0);
      let both2 = i16x8.splat(0);
      let odd0 = i16x8.splat(0);
      let odd1 = i16x8.splat(0);
      let odd2 = i16x8.splat(0);
      let table = tables;
      const end = first + <usize>D;
      for (let at = first; at < end; at += 32) {
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
        table += 64;
      }
      addGroup(both0, odd0, factors, offset, shift, times0, double0, to);
      addGroup(both1, odd1, factors, offset, shift, times1, double1, to + rowBytes);
      addGroup(both2, odd2, factors, offset, shift, times2, double2, to + (rowBytes << 1));
      first += <usize>D << 1;
      factors += 16;
      to += 32;
    }
  }
}

/** Adds a class's part to the scores of 16 keys for one row: see `storeGroup` of the scan by signs. */
@inline
function addGroup(
  both: v128,
  odd: v128,
  factors: usize,
  offset: v128,
  shift: i32,
  times: v128,
  double: i32,
  scans: usize,
): void {
  const low = i16x8.sub(both, i16x8.shl(odd, 8));
  let x = i16x8.shl(i16x8.sub(low, offset), shift);
  let y = i16x8.shl(i16x8.sub(odd, offset), shift);
  const first = i16x8.shl(v128.load_ext<u8>(factors), 7);
  const second = i16x8.shl(v128.load_ext<u8>(factors, 8), 7);
  x = i16x8.q15mulr_sat_s(i16x8.q15mulr_sat_s(x, first), times);
  y = i16x8.q15mulr_sat_s(i16x8.q15mulr_sat_s(y, second), times);
  for (let i = 0; i < double; i++) {
    x = i16x8.add_sat_s(x, x);
    y = i16x8.add_sat_s(y, y);
  }
  v128.store(scans, i16x8.add_sat_s(x, v128.load(scans)));
  v128.store(scans, i16x8.add_sat_s(y, v128.load(scans, 16)), 16);
}
