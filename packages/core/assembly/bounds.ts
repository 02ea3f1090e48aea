/**
 * Bounds on scores by int8 keys: the quantization error, and the rounding error of this computation. Three query rows at
 * a time share what is loaded of a key, and four keys at a time the arithmetic behind the products. All that is read of a
 * page lies in one run: its centre, the codes, and three numbers a key.
 */
import { sumLanes } from './exponential';
import { halve, sumInts, sumPairs } from './lanes';
import { Pages } from './generated';
import { PAGE_KEYS, pageAddress } from './pages';
import { rotatedDim } from './rotate';
import { orderedCodes, queryNumbers } from './prepared-queries';
import { centreOffset } from './scan-parts';

// Numbers of a prepared row that hold for the whole call or for a page, behind those of `prepared-queries.ts`.
const HALF_CODE_SUM: usize = 32;
const NORM: usize = 36;
const SLOPE: usize = 40;
const BASE: usize = 44;

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
  const D = rotatedDim(pages.headDim);
  const centreAt = pages.sign + centreOffset(D);
  const codesAt = pages.bounds;
  const codeBytes = <usize>D << 1;
  const rowBytes = <usize>stride << 2;
  const codes = orderedCodes(quantizedQuery, rows, D);
  const numbers = queryNumbers(quantizedQuery, rows, D);
  const maxNorm = prepareRows(numbers, norms, rows);
  for (let start = from; start < to; start += PAGE_KEYS) {
    const record = pageAddress(table, headOffset, start / PAGE_KEYS);
    const at = <usize>(start - from) << 2;
    if (start + PAGE_KEYS < to) {
      const next = pageAddress(table, headOffset, start / PAGE_KEYS + 1);
      touch(next + centreAt, next + codesAt + <usize>(PAGE_KEYS * (D + 6)), upper + at);
    }
    const centre = record + centreAt;
    const keys = record + codesAt;
    const length = centreNorm(centre, D);
    if (!(maxNorm * (length + maxLength(keys, D)) < <f32>1e36)) {
      // Numbers that might overflow float32 bound nothing.
      for (let r = 0; r < rows; r++) fillPage(offset(lower, at + <usize>r * rowBytes), upper + at + <usize>r * rowBytes);
      continue;
    }
    for (let r = 0; r < rows; r++) {
      const base = centreScore(quantizedQuery + (<usize>(r * D) << 2), centre, D);
      store<f32>(numbers + <usize>(r << 6) + BASE, base);
    }
    let r = 0;
    while (r < rows) {
      const first = <usize>r * rowBytes + at;
      const row = codes + <usize>r * codeBytes;
      const rowNumbers = numbers + <usize>(r << 6);
      const lowerRow = offset(lower, first);
      if (r + 3 <= rows) {
        boundPage3(keys, length, row, rowNumbers, D, lowerRow, upper + first, rowBytes);
        r += 3;
      } else {
        boundPage1(keys, length, row, rowNumbers, D, lowerRow, upper + first);
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
    // A code stands for itself and a half, in steps.
    store<f32>(row + HALF_CODE_SUM, load<f32>(row, 4) * <f32>0.5);
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
 * Reads a number of every cache line from `start` to `end`: pages of a head lie too far apart for the hardware prefetcher.
 * The sum goes to `sink`, which is overwritten later: unused reads would be optimized away.
 */
@inline
function touch(start: usize, end: usize, sink: usize): void {
  let sum: u32 = 0;
  for (let at = start & ~63; at < end; at += 64) sum += <u32>load<u8>(at);
  store<u32>(sink, sum);
}

/** Address of number `what` of the first key of a page: 0 steps, 1 bounds on errors, 2 bounds on lengths. */
@inline
function keyNumbers(keys: usize, D: i32, what: i32): usize {
  return keys + <usize>(PAGE_KEYS * (D + 2 * what));
}

/** The largest bound on ||y8|| of a page. Numbers that are not negative are in the order of their bits. */
@inline
function maxLength(keys: usize, D: i32): f32 {
  const lengths = keyNumbers(keys, D, 2);
  let most = v128.load(lengths);
  for (let i: usize = 16; i < <usize>PAGE_KEYS << 1; i += 16) most = i16x8.max_u(most, v128.load(lengths + i));
  let four = i32x4.max_u(i32x4.extend_low_i16x8_u(most), i32x4.extend_high_i16x8_u(most));
  four = i32x4.max_u(four, v128.shuffle<i32>(four, four, 2, 3, 0, 1));
  return reinterpret<f32>(max(i32x4.extract_lane(four, 0), i32x4.extract_lane(four, 1)) << 16);
}

/** Steps of four keys, bounds on their quantization errors, and bounds on ||c|| + ||y8||. */
let keySteps: v128 = f32x4.splat(0);
let keyErrors: v128 = f32x4.splat(0);
let keyLengths: v128 = f32x4.splat(0);

/** Loads the numbers of four keys from number `key` of the page on. */
@inline
function loadKeys(keys: usize, key: usize, length: f32, D: i32): void {
  keySteps = bfloat16ToFloat32(keyNumbers(keys, D, 0) + (key << 1));
  keyErrors = bfloat16ToFloat32(keyNumbers(keys, D, 1) + (key << 1));
  keyLengths = f32x4.add(f32x4.splat(length), bfloat16ToFloat32(keyNumbers(keys, D, 2) + (key << 1)));
}

/** Bounds of a page's keys for three rows. */
function boundPage3(
  keys: usize,
  length: f32,
  codes: usize,
  numbers: usize,
  D: i32,
  lower: usize,
  upper: usize,
  rowBytes: usize,
): void {
  const codeBytes = <usize>D << 1;
  for (let key: usize = 0; key < <usize>PAGE_KEYS; key += 4) {
    const row = keys + key * <usize>D;
    pair3(row, row + <usize>D, codes, codeBytes, D);
    const s0 = sums0;
    const s1 = sums1;
    const s2 = sums2;
    pair3(row + <usize>D * 2, row + <usize>D * 3, codes, codeBytes, D);
    loadKeys(keys, key, length, D);
    const at = upper + (key << 2);
    const below = offset(lower, key << 2);
    storeBounds(sumPairs(s0, sums0), numbers, below, at);
    storeBounds(sumPairs(s1, sums1), numbers + 64, offset(below, rowBytes), at + rowBytes);
    storeBounds(sumPairs(s2, sums2), numbers + 128, offset(below, rowBytes << 1), at + (rowBytes << 1));
  }
}

/** Bounds of a page's keys for one row. */
function boundPage1(keys: usize, length: f32, codes: usize, numbers: usize, D: i32, lower: usize, upper: usize): void {
  for (let key: usize = 0; key < <usize>PAGE_KEYS; key += 4) {
    const row = keys + key * <usize>D;
    const sums = sumPairs(
      halve(dotCodes(row, codes, D), dotCodes(row + <usize>D, codes, D)),
      halve(dotCodes(row + <usize>D * 2, codes, D), dotCodes(row + <usize>D * 3, codes, D)),
    );
    loadKeys(keys, key, length, D);
    storeBounds(sums, numbers, offset(lower, key << 2), upper + (key << 2));
  }
}

/** Stores the bounds of the four keys of `loadKeys` for a row, from their sums of products of codes. */
@inline
function storeBounds(sums: v128, numbers: usize, lower: usize, upper: usize): void {
  const sum = f32x4.add(f32x4.convert_i32x4_s(sums), v128.load32_splat(numbers, HALF_CODE_SUM));
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

/** Results of `pair3`: sums of code * query code of two keys for each of three rows, after `halve`. */
let sums0: v128 = i32x4.splat(0);
let sums1: v128 = i32x4.splat(0);
let sums2: v128 = i32x4.splat(0);

/** Two keys against three consecutive rows of codes. */
@inline
function pair3(first: usize, second: usize, codes: usize, codeBytes: usize, D: i32): void {
  let a0 = i32x4.splat(0);
  let a1 = i32x4.splat(0);
  let a2 = i32x4.splat(0);
  let b0 = i32x4.splat(0);
  let b1 = i32x4.splat(0);
  let b2 = i32x4.splat(0);
  const end = first + <usize>D;
  while (first < end) {
    let x = v128.load_ext<i8>(first);
    let y = v128.load_ext<i8>(second);
    let q = v128.load(codes);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(x, q));
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(y, q));
    q = v128.load(codes + codeBytes);
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(x, q));
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(y, q));
    q = v128.load(codes + (codeBytes << 1));
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(x, q));
    b2 = i32x4.add(b2, i32x4.dot_i16x8_s(y, q));

    x = v128.load_ext<i8>(first, 8);
    y = v128.load_ext<i8>(second, 8);
    q = v128.load(codes, 16);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(x, q));
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(y, q));
    q = v128.load(codes + codeBytes, 16);
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(x, q));
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(y, q));
    q = v128.load(codes + (codeBytes << 1), 16);
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(x, q));
    b2 = i32x4.add(b2, i32x4.dot_i16x8_s(y, q));
    first += 16;
    second += 16;
    codes += 32;
  }
  sums0 = halve(a0, b0);
  sums1 = halve(a1, b1);
  sums2 = halve(a2, b2);
}

/** One key against one row of codes: four partial sums. */
@inline
function dotCodes(key: usize, codes: usize, D: i32): v128 {
  let sum = i32x4.splat(0);
  const end = key + <usize>D;
  while (key < end) {
    const low = i32x4.dot_i16x8_s(v128.load_ext<i8>(key), v128.load(codes));
    const high = i32x4.dot_i16x8_s(v128.load_ext<i8>(key, 8), v128.load(codes, 16));
    sum = i32x4.add(sum, i32x4.add(low, high));
    key += 16;
    codes += 32;
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
