/**
 * Bounds on scores by int8 keys: the quantization error, and the rounding error of this computation. Three query rows at
 * a time share the unpacking of a key, of which 16 bytes of upper and 16 of lower halves are 32 codes; four keys at a time
 * share the arithmetic behind the products.
 */
import { sumLanes } from './exponential';
import { halve, sumInts, sumPairs } from './lanes';
import { Pages } from './generated';
import { PAGE_KEYS, pageAddress } from './pages';
import { rotatedDim } from './rotate';
import { maskOf, queryCodes, queryNumbers } from './prepared-queries';
import { centreOffset, factorsOffset, pageFactor } from './scan-parts';

// Numbers of a prepared row that hold for the whole call or for a page, behind those of `prepared-queries.ts`.
const CODE_SUM_OFFSET: usize = 32;
const HALF_CODE_SUM: usize = 36;
const NORM: usize = 40;
const SLOPE: usize = 44;
const BASE: usize = 48;

/** See `QuantizedKernels.boundScores`. */
export function boundScores(
  pages: Pages,
  from: i32,
  to: i32,
  quantizedQuery: usize,
  norms: usize,
  rows: i32,
  lower: usize,
  upper: usize,
  stride: i32,
): void {
  const table = pages.table;
  const headOffset = pages.headOffset;
  const d = pages.headDim;
  const signOffset = pages.sign;
  const int4Offset = pages.int4;
  const int8Offset = pages.int8;
  const D = rotatedDim(d);
  const codeBytes = <usize>D << 1;
  const rowBytes = <usize>stride << 2;
  const codes = queryCodes(quantizedQuery, rows, D);
  const numbers = queryNumbers(quantizedQuery, rows, D);
  const maxNorm = prepareRows(numbers, norms, rows);
  // Made of a number from memory, since constants in the code would be made anew at every use.
  const fifteen = maskOf(quantizedQuery, rows, D);
  const upperHalves = i8x16.shl(fifteen, 4);
  const evenBytes = i16x8.shr_u(v128.or(fifteen, upperHalves), 8);
  const root = <f32>Math.sqrt(<f64>D);
  for (let start = from; start < to; start += PAGE_KEYS) {
    const record = pageAddress(table, headOffset, start / PAGE_KEYS);
    if (start + PAGE_KEYS < to) {
      const next = pageAddress(table, headOffset, start / PAGE_KEYS + 1);
      prefetchPage(next, signOffset, int4Offset, int8Offset, D, upper + (<usize>(start - from) << 2));
    }
    const factors = record + signOffset + factorsOffset(D);
    const centre = record + signOffset + centreOffset(D);
    const length = centreNorm(centre, D);
    const factor = pageFactor(centre, D);
    const at = <usize>(start - from) << 2;
    if (!(maxNorm * (length + factor * root) < <f32>1e36)) {
      // Numbers that might overflow float32 bound nothing.
      for (let r = 0; r < rows; r++) fillPage(offset(lower, at + <usize>r * rowBytes), upper + at + <usize>r * rowBytes);
      continue;
    }
    for (let r = 0; r < rows; r++) {
      const base = centreScore(quantizedQuery + (<usize>(r * D) << 2), centre, D);
      store<f32>(numbers + <usize>(r << 6) + BASE, base);
    }
    const high = record + int4Offset;
    const low = record + int8Offset;
    const factorStep = factor * <f32>3.0519e-5; // 1 / 32,767, rounded up
    let r = 0;
    while (r < rows) {
      const three = r + 3 <= rows;
      const first = <usize>r * rowBytes + at;
      const row = codes + <usize>r * codeBytes;
      const rowNumbers = numbers + <usize>(r << 6);
      const lowerRow = offset(lower, first);
      if (three) {
        boundPage3(high, low, factors, factorStep, root, length, row, codeBytes, rowNumbers, D, lowerRow, upper + first, rowBytes, upperHalves, evenBytes);
        r += 3;
      } else {
        boundPage1(high, low, factors, factorStep, root, length, row, rowNumbers, D, lowerRow, upper + first, upperHalves, evenBytes);
        r++;
      }
    }
  }
}

/** An address further on in a buffer; 0 where there is none. */
@inline
function offset(address: usize, bytes: usize): usize {
  return address == 0 ? <usize>0 : address + bytes;
}

/** Writes what holds for all keys of a row behind the row's numbers. Returns the largest norm. */
@inline
function prepareRows(numbers: usize, norms: usize, rows: i32): f32 {
  let maxNorm: f32 = 0;
  for (let r = 0; r < rows; r++) {
    const row = numbers + <usize>(r << 6);
    const norm = load<f32>(norms + (<usize>r << 2));
    // Codes are read as 0 to 255, so 127.5 times the sum of the query's codes, an integer, is too much: 128 times it is
    // subtracted in integers, and half of it added in floats.
    const codeSum = load<f32>(row, 4);
    store<i32>(row + CODE_SUM_OFFSET, <i32>codeSum * 128);
    store<f32>(row + HALF_CODE_SUM, codeSum * <f32>0.5);
    store<f32>(row + NORM, norm * <f32>1.0002);
    // The query's quantization error, and 256 roundings of float32.
    store<f32>(row + SLOPE, (load<f32>(row, 12) + norm * <f32>1.52587890625e-5) * <f32>1.0002);
    // Not max(), which would drop a NaN in some orders.
    if (!(norm <= maxNorm)) maxNorm = norm;
  }
  return maxNorm;
}

/** Bounds a page of keys by nothing. */
@inline
function fillPage(lower: usize, upper: usize): void {
  for (let i: usize = 0; i < <usize>PAGE_KEYS << 2; i += 16) {
    v128.store(upper + i, f32x4.splat(Infinity));
    if (lower != 0) v128.store(lower + i, f32x4.splat(-Infinity));
  }
}

/**
 * Reads a number of every cache line that bounds the keys of a page: pages of a head lie too far apart for the hardware
 * prefetcher. The sum goes to `sink`, which is overwritten later: unused reads would be optimized away.
 */
@inline
function prefetchPage(record: usize, sign: usize, int4: usize, int8: usize, D: i32, sink: usize): void {
  let sum: u32 = 0;
  const factors = record + sign + factorsOffset(D);
  for (let i: usize = 0; i < (<usize>PAGE_KEYS << 1) + <usize>D; i += 64) sum += <u32>load<u8>(factors + i);
  for (let i: usize = 0; i < <usize>(PAGE_KEYS * (D + 4)); i += 64) sum += <u32>load<u8>(record + int4 + i);
  for (let i: usize = 0; i < <usize>((PAGE_KEYS * D) >> 1) + (PAGE_KEYS << 1); i += 64) sum += <u32>load<u8>(record + int8 + i);
  store<u32>(sink, sum);
}

/** Steps of four keys, bounds on their quantization errors, and bounds on ||c|| + ||y8||. */
let keySteps: v128 = f32x4.splat(0);
let keyErrors: v128 = f32x4.splat(0);
let keyLengths: v128 = f32x4.splat(0);

/** Loads the numbers of four keys from number `key` of the page on. */
@inline
function loadKeys(highRows: usize, lowRows: usize, factors: usize, key: usize, factorStep: f32, root: f32, length: f32, D: i32): void {
  keySteps = i32x4.shl(v128.load(highRows + <usize>(PAGE_KEYS * D) + (key << 2)), 16);
  keyErrors = bfloat16ToFloat32(lowRows + <usize>((PAGE_KEYS * D) >> 1) + (key << 1));
  const parts = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(v128.load64_zero(factors + (key << 1))));
  const factor = f32x4.mul(parts, f32x4.splat(factorStep));
  // ||y8|| <= ||y|| + e, and ||y|| = f ||y||_1 / ||y|| <= f sqrt(D); twice e, since f is of a y that is rounded.
  keyLengths = f32x4.add(
    f32x4.splat(length),
    f32x4.add(f32x4.mul(factor, f32x4.splat(root)), f32x4.add(keyErrors, keyErrors)),
  );
}

/** Bounds of a page's keys for three rows. */
function boundPage3(
  highRows: usize,
  lowRows: usize,
  factors: usize,
  factorStep: f32,
  root: f32,
  length: f32,
  codes: usize,
  codeBytes: usize,
  numbers: usize,
  D: i32,
  lower: usize,
  upper: usize,
  rowBytes: usize,
  upperHalves: v128,
  evenBytes: v128,
): void {
  const half = <usize>D >> 1;
  for (let key: usize = 0; key < <usize>PAGE_KEYS; key += 4) {
    const high = highRows + key * <usize>D;
    const low = lowRows + key * half;
    pair3(high, high + <usize>D, low, low + half, codes, codeBytes, half, upperHalves, evenBytes);
    const s0 = sums0;
    const s1 = sums1;
    const s2 = sums2;
    pair3(high + <usize>D * 2, high + <usize>D * 3, low + half * 2, low + half * 3, codes, codeBytes, half, upperHalves, evenBytes);
    loadKeys(highRows, lowRows, factors, key, factorStep, root, length, D);
    const at = upper + (key << 2);
    const below = offset(lower, key << 2);
    storeBounds(sumPairs(s0, sums0), numbers, below, at);
    storeBounds(sumPairs(s1, sums1), numbers + 64, offset(below, rowBytes), at + rowBytes);
    storeBounds(sumPairs(s2, sums2), numbers + 128, offset(below, rowBytes << 1), at + (rowBytes << 1));
  }
}

/** Bounds of a page's keys for one row. */
function boundPage1(
  highRows: usize,
  lowRows: usize,
  factors: usize,
  factorStep: f32,
  root: f32,
  length: f32,
  codes: usize,
  numbers: usize,
  D: i32,
  lower: usize,
  upper: usize,
  upperHalves: v128,
  evenBytes: v128,
): void {
  const half = <usize>D >> 1;
  for (let key: usize = 0; key < <usize>PAGE_KEYS; key += 4) {
    const high = highRows + key * <usize>D;
    const low = lowRows + key * half;
    const sums = sumPairs(
      halve(dotCodes(high, low, codes, half, upperHalves, evenBytes), dotCodes(high + <usize>D, low + half, codes, half, upperHalves, evenBytes)),
      halve(
        dotCodes(high + <usize>D * 2, low + half * 2, codes, half, upperHalves, evenBytes),
        dotCodes(high + <usize>D * 3, low + half * 3, codes, half, upperHalves, evenBytes),
      ),
    );
    loadKeys(highRows, lowRows, factors, key, factorStep, root, length, D);
    storeBounds(sums, numbers, offset(lower, key << 2), upper + (key << 2));
  }
}

/** Stores the bounds of the four keys of `loadKeys` for a row, from their sums of products of codes. */
@inline
function storeBounds(sums: v128, numbers: usize, lower: usize, upper: usize): void {
  const offset = v128.load32_splat(numbers, CODE_SUM_OFFSET);
  const sum = f32x4.add(f32x4.convert_i32x4_s(i32x4.sub(sums, offset)), v128.load32_splat(numbers, HALF_CODE_SUM));
  const product = f32x4.mul(f32x4.mul(sum, keySteps), v128.load32_splat(numbers));
  const score = f32x4.add(v128.load32_splat(numbers, BASE), product);
  const slack = f32x4.add(
    f32x4.add(
      f32x4.mul(v128.load32_splat(numbers, NORM), keyErrors),
      f32x4.mul(v128.load32_splat(numbers, SLOPE), keyLengths),
    ),
    f32x4.splat(<f32>1e-37),
  );
  v128.store(upper, f32x4.add(score, slack));
  if (lower != 0) v128.store(lower, f32x4.sub(score, slack));
}

/** Four bfloat16 as floats. */
@inline
function bfloat16ToFloat32(address: usize): v128 {
  return i32x4.shl(i32x4.extend_low_i16x8_u(v128.load64_zero(address)), 16);
}

/** Results of `pair3`: sums of (code + 128) * query code of two keys for each of three rows, after `halve`. */
let sums0: v128 = i32x4.splat(0);
let sums1: v128 = i32x4.splat(0);
let sums2: v128 = i32x4.splat(0);

/**
 * Two keys against three consecutive rows of codes. Bytes are put together first, of the first half of a row and of the
 * second, and then their even and their odd ones taken apart: that is the order of the query's codes.
 */
@inline
function pair3(high0: usize, high1: usize, low0: usize, low1: usize, codes: usize, codeBytes: usize, half: usize, upperHalves: v128, evenBytes: v128): void {
  let a0 = i32x4.splat(0);
  let a1 = i32x4.splat(0);
  let a2 = i32x4.splat(0);
  let b0 = i32x4.splat(0);
  let b1 = i32x4.splat(0);
  let b2 = i32x4.splat(0);
  for (let i: usize = 0; i < half; i += 16) {
    const x = v128.load(high0 + i);
    const xl = v128.load(low0 + i);
    const x0 = v128.bitselect(i16x8.shl(x, 4), xl, upperHalves);
    const x1 = v128.bitselect(x, i16x8.shr_u(xl, 4), upperHalves);
    const y = v128.load(high1 + i);
    const yl = v128.load(low1 + i);
    const y0 = v128.bitselect(i16x8.shl(y, 4), yl, upperHalves);
    const y1 = v128.bitselect(y, i16x8.shr_u(yl, 4), upperHalves);

    let u = v128.load(codes);
    let v = v128.load(codes + codeBytes);
    let w = v128.load(codes + (codeBytes << 1));
    let p = v128.and(x0, evenBytes);
    let q = v128.and(y0, evenBytes);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(p, u));
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(q, u));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(p, v));
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(q, v));
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(p, w));
    b2 = i32x4.add(b2, i32x4.dot_i16x8_s(q, w));

    u = v128.load(codes, 16);
    v = v128.load(codes + codeBytes, 16);
    w = v128.load(codes + (codeBytes << 1), 16);
    p = v128.and(x1, evenBytes);
    q = v128.and(y1, evenBytes);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(p, u));
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(q, u));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(p, v));
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(q, v));
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(p, w));
    b2 = i32x4.add(b2, i32x4.dot_i16x8_s(q, w));

    u = v128.load(codes, 32);
    v = v128.load(codes + codeBytes, 32);
    w = v128.load(codes + (codeBytes << 1), 32);
    p = i16x8.shr_u(x0, 8);
    q = i16x8.shr_u(y0, 8);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(p, u));
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(q, u));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(p, v));
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(q, v));
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(p, w));
    b2 = i32x4.add(b2, i32x4.dot_i16x8_s(q, w));

    u = v128.load(codes, 48);
    v = v128.load(codes + codeBytes, 48);
    w = v128.load(codes + (codeBytes << 1), 48);
    p = i16x8.shr_u(x1, 8);
    q = i16x8.shr_u(y1, 8);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(p, u));
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(q, u));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(p, v));
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(q, v));
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(p, w));
    b2 = i32x4.add(b2, i32x4.dot_i16x8_s(q, w));
    codes += 64;
  }
  sums0 = halve(a0, b0);
  sums1 = halve(a1, b1);
  sums2 = halve(a2, b2);
}

/** One key against one row of codes: four partial sums. */
@inline
function dotCodes(high: usize, low: usize, codes: usize, half: usize, upperHalves: v128, evenBytes: v128): v128 {
  let sum = i32x4.splat(0);
  for (let i: usize = 0; i < half; i += 16) {
    const h = v128.load(high + i);
    const l = v128.load(low + i);
    const x0 = v128.bitselect(i16x8.shl(h, 4), l, upperHalves);
    const x1 = v128.bitselect(h, i16x8.shr_u(l, 4), upperHalves);
    const at = codes + (i << 2);
    const even = i32x4.add(
      i32x4.dot_i16x8_s(v128.and(x0, evenBytes), v128.load(at)),
      i32x4.dot_i16x8_s(v128.and(x1, evenBytes), v128.load(at, 16)),
    );
    const odd = i32x4.add(
      i32x4.dot_i16x8_s(i16x8.shr_u(x0, 8), v128.load(at, 32)),
      i32x4.dot_i16x8_s(i16x8.shr_u(x1, 8), v128.load(at, 48)),
    );
    sum = i32x4.add(sum, i32x4.add(even, odd));
  }
  return sum;
}

/** ||c||. */
@inline
function centreNorm(centre: usize, D: i32): f32 {
  let sum = i32x4.splat(0);
  for (let i: usize = 0; i < <usize>D; i += 16) {
    const c = v128.load(centre + i);
    const low = i16x8.extend_low_i8x16_s(c);
    const high = i16x8.extend_high_i8x16_s(c);
    sum = i32x4.add(sum, i32x4.add(i32x4.dot_i16x8_s(low, low), i32x4.dot_i16x8_s(high, high)));
  }
  return <f32>Math.sqrt(<f64>sumInts(sum)) * load<f32>(centre + <usize>D);
}

/** <Rq, c> of a page, whose centre has its codes at `centre` and their step behind them. */
@inline
function centreScore(rotated: usize, centre: usize, D: i32): f32 {
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
