/**
 * Scores by 4-bit codes of scattered keys. A load of 16 bytes holds 32 codes: the lower and the upper halves of its
 * even and of its odd bytes are four vectors of int16, and the query's codes lie in the same order (`scan.ts`).
 */
import { halve, storeFirst, sumPairs } from './lanes';
import { Pages } from './generated';
import { PAGE_KEYS, pageAddress } from './pages';
import { rotatedDim } from './rotate';
import { maskOf, queryCodes, queryNumbers } from './prepared-queries';

/** Address of a key's row of the encoding int4. */
@inline
export function int4RowAddress(table: usize, encodingOffset: usize, position: u32, D: i32): usize {
  return pageAddress(table, encodingOffset, position / PAGE_KEYS) + <usize>((position & (PAGE_KEYS - 1)) * D);
}

/** The step of a key's codes (`what` 0) or of its value's (2): a bfloat16 behind the rows of its page. */
@inline
export function quantizationStep(table: usize, encodingOffset: usize, position: u32, D: i32, what: usize): f32 {
  const steps = pageAddress(table, encodingOffset, position / PAGE_KEYS) + <usize>(PAGE_KEYS * D);
  return reinterpret<f32>(<u32>load<u16>(steps + <usize>((position & (PAGE_KEYS - 1)) << 2) + what) << 16);
}

/** Keys that are prefetched together. */
export const PREFETCH_KEYS: i32 = 32;

/**
 * Prefetches keys [from, to) of a list: reads one of their codes (from byte `half` on those of the value) and their step,
 * so that the waits for memory overlap. The sum goes to `sink`, which is overwritten later: unused reads would be
 * optimized away.
 */
@inline
export function prefetch(
  table: usize,
  encodingOffset: usize,
  indices: usize,
  from: i32,
  to: i32,
  D: i32,
  half: usize,
  sink: usize,
): void {
  let sum: u32 = 0;
  for (let j = from; j < to; j++) {
    const position = load<u32>(indices + (<usize>j << 2));
    const page = pageAddress(table, encodingOffset, position / PAGE_KEYS);
    const key = <usize>(position & (PAGE_KEYS - 1));
    sum += <u32>load<u8>(page + key * <usize>D + half) + <u32>load<u8>(page + <usize>(PAGE_KEYS * D) + (key << 2));
  }
  store<u32>(sink, sum);
}

/** See `QuantizedKernels.scoreQuantized`. */
export function scoreQuantized(
  pages: Pages,
  from: i32,
  indices: usize,
  count: i32,
  quantizedQuery: usize,
  rows: i32,
  scores: usize,
  stride: i32,
  bases: usize,
  baseStride: i32,
): void {
  const table = pages.table;
  const headOffset = pages.headOffset;
  const d = pages.headDim;
  const encodingOffset = pages.int4;
  const D = rotatedDim(d);
  const codes = queryCodes(quantizedQuery, rows, D);
  const numbers = queryNumbers(quantizedQuery, rows, D);
  const codeBytes = <usize>D << 1;
  const offset = headOffset + encodingOffset;
  // The lower 4 bits of each 16: the mask of bytes without its upper ones.
  const fifteen = i16x8.shr_u(maskOf(quantizedQuery, rows, D), 8);
  for (let j = 0; j < count; j += 4) {
    const live = count - j;
    const list = indices + (<usize>j << 2);
    const target = scores + (<usize>j << 2);
    if ((j & (PREFETCH_KEYS - 1)) == 0) prefetch(table, offset, indices, j, min(j + PREFETCH_KEYS, count), D, 0, target);
    // Behind the last key the first is repeated, and not stored.
    const p0 = load<u32>(list);
    const p1 = live > 1 ? load<u32>(list, 4) : p0;
    const p2 = live > 2 ? load<u32>(list, 8) : p0;
    const p3 = live > 3 ? load<u32>(list, 12) : p0;
    const k0 = int4RowAddress(table, offset, p0, D);
    const k1 = int4RowAddress(table, offset, p1, D);
    const k2 = int4RowAddress(table, offset, p2, D);
    const k3 = int4RowAddress(table, offset, p3, D);
    const steps = f32x4(
      quantizationStep(table, offset, p0, D, 0),
      quantizationStep(table, offset, p1, D, 0),
      quantizationStep(table, offset, p2, D, 0),
      quantizationStep(table, offset, p3, D, 0),
    );
    const b0 = bases + <usize>(((p0 - from) / PAGE_KEYS) << 2);
    const b1 = bases + <usize>(((p1 - from) / PAGE_KEYS) << 2);
    const b2 = bases + <usize>(((p2 - from) / PAGE_KEYS) << 2);
    const b3 = bases + <usize>(((p3 - from) / PAGE_KEYS) << 2);
    let r = 0;
    while (r < rows) {
      const row = codes + <usize>r * codeBytes;
      const three = r + 3 <= rows;
      if (three) pair3(k0, k1, row, codeBytes, fifteen);
      else pair1(k0, k1, row, codeBytes, fifteen);
      const s0 = sums0;
      const s1 = sums1;
      const s2 = sums2;
      if (three) pair3(k2, k3, row, codeBytes, fifteen);
      else pair1(k2, k3, row, codeBytes, fifteen);
      storeScores(sumPairs(s0, sums0), steps, numbers, r, b0, b1, b2, b3, baseStride, live, target, stride);
      r++;
      if (!three) continue;
      storeScores(sumPairs(s1, sums1), steps, numbers, r, b0, b1, b2, b3, baseStride, live, target, stride);
      storeScores(sumPairs(s2, sums2), steps, numbers, r + 1, b0, b1, b2, b3, baseStride, live, target, stride);
      r += 2;
    }
  }
}

/** base + step * (sum of u * code - 7.5 * sum of codes), in the units of the query's codes, for four keys of row r. */
@inline
function storeScores(
  sums: v128,
  steps: v128,
  numbers: usize,
  r: i32,
  b0: usize,
  b1: usize,
  b2: usize,
  b3: usize,
  baseStride: i32,
  live: i32,
  scores: usize,
  stride: i32,
): void {
  const rowNumbers = numbers + <usize>(r << 6);
  const row = <usize>(r * baseStride) << 2;
  let base = v128.load32_splat(b0 + row);
  base = v128.load_lane<f32>(b1 + row, base, 1);
  base = v128.load_lane<f32>(b2 + row, base, 2);
  base = v128.load_lane<f32>(b3 + row, base, 3);
  const middle = f32x4.splat(load<f32>(rowNumbers, 4) * <f32>7.5);
  const unit = f32x4.mul(steps, f32x4.splat(load<f32>(rowNumbers) * <f32>16.0));
  const score = f32x4.add(base, f32x4.mul(f32x4.sub(f32x4.convert_i32x4_s(sums), middle), unit));
  storeFirst(score, live, scores + (<usize>(r * stride) << 2));
}

/** Results of `pair3` and `pair1`: sums of u * code of two keys for each row of codes, after `halve`. */
let sums0: v128 = i32x4.splat(0);
let sums1: v128 = i32x4.splat(0);
let sums2: v128 = i32x4.splat(0);

/** Two keys against three consecutive rows of codes, which share the unpacking. */
@inline
function pair3(first: usize, second: usize, codes: usize, codeBytes: usize, fifteen: v128): void {
  let a0 = i32x4.splat(0);
  let a1 = i32x4.splat(0);
  let a2 = i32x4.splat(0);
  let b0 = i32x4.splat(0);
  let b1 = i32x4.splat(0);
  let b2 = i32x4.splat(0);
  const end = codes + codeBytes;
  while (codes < end) {
    const x = v128.load(first);
    const y = v128.load(second);
    const x0 = v128.and(x, fifteen);
    const x1 = v128.and(i16x8.shr_u(x, 4), fifteen);
    const x2 = v128.and(i16x8.shr_u(x, 8), fifteen);
    const x3 = i16x8.shr_u(x, 12);
    const y0 = v128.and(y, fifteen);
    const y1 = v128.and(i16x8.shr_u(y, 4), fifteen);
    const y2 = v128.and(i16x8.shr_u(y, 8), fifteen);
    const y3 = i16x8.shr_u(y, 12);
    a0 = addDots(a0, x0, x1, x2, x3, codes);
    b0 = addDots(b0, y0, y1, y2, y3, codes);
    a1 = addDots(a1, x0, x1, x2, x3, codes + codeBytes);
    b1 = addDots(b1, y0, y1, y2, y3, codes + codeBytes);
    a2 = addDots(a2, x0, x1, x2, x3, codes + (codeBytes << 1));
    b2 = addDots(b2, y0, y1, y2, y3, codes + (codeBytes << 1));
    first += 16;
    second += 16;
    codes += 64;
  }
  sums0 = halve(a0, b0);
  sums1 = halve(a1, b1);
  sums2 = halve(a2, b2);
}

/** Two keys against one row of codes. */
@inline
function pair1(first: usize, second: usize, codes: usize, codeBytes: usize, fifteen: v128): void {
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  const end = codes + codeBytes;
  while (codes < end) {
    const x = v128.load(first);
    const y = v128.load(second);
    a = addDots(a, v128.and(x, fifteen), v128.and(i16x8.shr_u(x, 4), fifteen), v128.and(i16x8.shr_u(x, 8), fifteen), i16x8.shr_u(x, 12), codes);
    b = addDots(b, v128.and(y, fifteen), v128.and(i16x8.shr_u(y, 4), fifteen), v128.and(i16x8.shr_u(y, 8), fifteen), i16x8.shr_u(y, 12), codes);
    first += 16;
    second += 16;
    codes += 64;
  }
  sums0 = halve(a, b);
}

@inline
function addDots(sum: v128, u0: v128, u1: v128, u2: v128, u3: v128, codes: usize): v128 {
  const low = i32x4.add(i32x4.dot_i16x8_s(u0, v128.load(codes)), i32x4.dot_i16x8_s(u1, v128.load(codes, 16)));
  const high = i32x4.add(i32x4.dot_i16x8_s(u2, v128.load(codes, 32)), i32x4.dot_i16x8_s(u3, v128.load(codes, 48)));
  return i32x4.add(sum, i32x4.add(low, high));
}
