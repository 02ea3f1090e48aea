/**
 * Attention of a block of query rows to scattered keys: 64 of them at a time are gathered, and then it is two matrix
 * products as over a page. Every row sees every key, each key with its own weight.
 *
 * The products are of int16, of which one instruction multiplies and adds eight, where four floats take two. Queries and
 * keys have the codes round(32767 x / ||x||): by the inequality of Cauchy and Schwarz no sum of their products exceeds 31
 * bits. Values have codes of 12 bits, relative to the largest number among the 64, and weights of 15 bits, relative to the
 * largest weight of the row: 64 products of the largest are just below 2^31.
 *
 * Scratch: the queries' codes (rows, d) of int16 and their steps (rows); keys (d / 2, 64, 2) of int16 and their steps
 * (64); values (32, d, 2) of int16; gathered rows (64, d) of float32; scores (rows, 64) of float32, then of int16.
 */
import { gather } from './decode';
import { maxLanes, sumLanes } from './exponential';
import { Pages, ROW_MULTIPLE } from './generated';
import { sumInts } from './lanes';
import { PAGE_KEYS, rowBytes } from './pages';
import { storeTransposed } from './prefill';
import { raiseMaximum, stateOutput } from './softmax';

const MAX_CODE: f32 = 32767.0;
const MAX_VALUE_CODE: f32 = 2047.0;
const MAX_WEIGHT_CODE: f32 = 16384.0;

/**
 * Sums of products of pairs, c (4, 8) of int32 in registers, = a (4, 2 pairs) b (pairs, 8, 2), all int16; strides in
 * bytes. A product of queries and keys becomes c * rowSteps * columnSteps + biases; one of weights and values is
 * multiplied by `factor` and added to c.
 */
@inline
function multiplyQuantized(
  a: usize,
  aStride: usize,
  b: usize,
  bStride: usize,
  pairs: i32,
  c: usize,
  cStride: usize,
  rowSteps: usize,
  columnSteps: usize,
  biases: usize,
  factor: f32,
  add: bool,
): void {
  let c00 = i32x4.splat(0);
  let c01 = i32x4.splat(0);
  let c10 = i32x4.splat(0);
  let c11 = i32x4.splat(0);
  let c20 = i32x4.splat(0);
  let c21 = i32x4.splat(0);
  let c30 = i32x4.splat(0);
  let c31 = i32x4.splat(0);
  let a0 = a;
  let a1 = a0 + aStride;
  let a2 = a1 + aStride;
  let a3 = a2 + aStride;
  const end = a + (<usize>pairs << 2);
  while (a0 < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let x = v128.load32_splat(a0);
    c00 = i32x4.add(c00, i32x4.dot_i16x8_s(x, b0));
    c01 = i32x4.add(c01, i32x4.dot_i16x8_s(x, b1));
    x = v128.load32_splat(a1);
    c10 = i32x4.add(c10, i32x4.dot_i16x8_s(x, b0));
    c11 = i32x4.add(c11, i32x4.dot_i16x8_s(x, b1));
    x = v128.load32_splat(a2);
    c20 = i32x4.add(c20, i32x4.dot_i16x8_s(x, b0));
    c21 = i32x4.add(c21, i32x4.dot_i16x8_s(x, b1));
    x = v128.load32_splat(a3);
    c30 = i32x4.add(c30, i32x4.dot_i16x8_s(x, b0));
    c31 = i32x4.add(c31, i32x4.dot_i16x8_s(x, b1));
    b += bStride;
    a0 += 4;
    a1 += 4;
    a2 += 4;
    a3 += 4;
  }
  if (add) {
    addRow(c00, c01, factor, c);
    addRow(c10, c11, factor, c + cStride);
    addRow(c20, c21, factor, c + 2 * cStride);
    addRow(c30, c31, factor, c + 3 * cStride);
  } else {
    storeRow(c00, c01, rowSteps, columnSteps, biases, c);
    storeRow(c10, c11, rowSteps + 4, columnSteps, biases, c + cStride);
    storeRow(c20, c21, rowSteps + 8, columnSteps, biases, c + 2 * cStride);
    storeRow(c30, c31, rowSteps + 12, columnSteps, biases, c + 3 * cStride);
  }
}

@inline
function addRow(low: v128, high: v128, factor: f32, c: usize): void {
  const f = f32x4.splat(factor);
  v128.store(c, f32x4.add(v128.load(c), f32x4.mul(f32x4.convert_i32x4_s(low), f)));
  v128.store(c, f32x4.add(v128.load(c, 16), f32x4.mul(f32x4.convert_i32x4_s(high), f)), 16);
}

@inline
function storeRow(low: v128, high: v128, rowStep: usize, columnSteps: usize, biases: usize, c: usize): void {
  const step = v128.load32_splat(rowStep);
  const l = f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(low), step), v128.load(columnSteps));
  const h = f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(high), step), v128.load(columnSteps, 16));
  v128.store(c, f32x4.add(l, v128.load(biases)));
  v128.store(c, f32x4.add(h, v128.load(biases, 16)), 16);
}

@inline
function maxMagnitude(numbers: usize, count: i32): f32 {
  let maxima = f32x4.splat(0.0);
  const end = numbers + (<usize>count << 2);
  for (; numbers < end; numbers += 16) maxima = f32x4.pmax(maxima, f32x4.abs(v128.load(numbers)));
  return maxLanes(maxima);
}

/** Adding 1.5 * 2^23 to a float below 2^22 rounds it to an integer in its low bits. */
const WHOLE: f32 = 12582912.0;
const WHOLE_BITS: i32 = 0x4b400000;

/** Codes round(x inverse) of eight floats. */
@inline
function quantizeEight(x: usize, inverse: v128): v128 {
  const low = roundWhole(f32x4.mul(v128.load(x), inverse));
  const high = roundWhole(f32x4.mul(v128.load(x, 16), inverse));
  return i16x8.narrow_i32x4_s(low, high);
}

/** Four floats below 2^22, rounded to int32. */
@inline
function roundWhole(x: v128): v128 {
  return i32x4.sub(f32x4.add(x, f32x4.splat(WHOLE)), i32x4.splat(WHOLE_BITS));
}

/** 1 / step, or 0 if the step is so small that its row counts as 0. */
@inline
function inverseOf(step: f32): f32 {
  return step > <f32>1e-38 ? <f32>1.0 / step : <f32>0.0;
}

/** Writes the codes of a row (d) and returns their step. */
@inline
function quantizeRow(row: usize, d: i32, codes: usize): f32 {
  const rowMax = maxMagnitude(row, d);
  const unit = f32x4.splat(inverseOf(rowMax));
  let squares = f32x4.splat(0.0);
  const end = row + (<usize>d << 2);
  for (let at = row; at < end; at += 16) {
    // Scaled to at most 1, so that no square overflows or underflows.
    const x = f32x4.mul(v128.load(at), unit);
    squares = f32x4.add(squares, f32x4.mul(x, x));
  }
  const step = (rowMax * <f32>Math.sqrt(<f64>sumLanes(squares))) / MAX_CODE;
  const inverse = f32x4.splat(inverseOf(step));
  for (let at = row; at < end; at += 32) {
    v128.store(codes, quantizeEight(at, inverse));
    codes += 16;
  }
  return step;
}

/** Codes of gathered keys (count, d), pairs of dimensions side by side, into `keys` (d / 2, 64, 2). */
@inline
function quantizeKeys(gathered: usize, count: i32, d: i32, keys: usize, steps: usize, codes: usize): void {
  const quantizedRowBytes = <usize>d << 1;
  for (let key = 0; key < count; key += 4) {
    for (let i = 0; i < 4; i++) {
      const row = gathered + (<usize>((key + i) * d) << 2);
      store<f32>(steps + (<usize>(key + i) << 2), quantizeRow(row, d, codes + <usize>i * quantizedRowBytes));
    }
    let to = keys + (<usize>key << 2);
    for (let at = codes; at < codes + quantizedRowBytes; at += 16) {
      const second = v128.load(at + quantizedRowBytes);
      const third = v128.load(at + 2 * quantizedRowBytes);
      storeTransposed(v128.load(at), second, third, v128.load(at + 3 * quantizedRowBytes), to);
      to += 1024;
    }
  }
}

/** Codes of gathered values (count, d), pairs of keys side by side, into `values` (32, d, 2). Returns their step. */
@inline
function quantizeValues(gathered: usize, count: i32, d: i32, values: usize): f32 {
  const step = maxMagnitude(gathered, count * d) / MAX_VALUE_CODE;
  const inverse = f32x4.splat(inverseOf(step));
  const bytes = <usize>d << 2;
  for (let key = 0; key < count; key += 2) {
    const end = gathered + bytes;
    while (gathered < end) {
      const a = quantizeEight(gathered, inverse);
      const b = quantizeEight(gathered + bytes, inverse);
      v128.store(values, v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11));
      v128.store(values, v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15), 16);
      gathered += 32;
      values += 32;
    }
    gathered += bytes;
  }
  return step;
}

/**
 * Adds 64 scores of one row to its statistics, replaces them by their quantized weights, and rescales the row's output if
 * the maximum has grown. The sum is over the rounded weights, so that numerator and denominator round alike.
 */
@inline
function updateSoftmaxQuantized(scores: usize, statistics: usize, output: usize, d: i32): void {
  const maxScore = raiseMaximum(scores, PAGE_KEYS, statistics, output, d);
  if (maxScore == -Infinity) {
    memory.fill(scores, 0, 128);
    return;
  }
  const shift = f32x4.splat(maxScore);
  let total = i32x4.splat(0);
  for (let i: usize = 0; i < 256; i += 32) {
    const low = quantizedWeights(f32x4.sub(v128.load(scores + i), shift));
    const high = quantizedWeights(f32x4.sub(v128.load(scores + i, 16), shift));
    total = i32x4.add(total, i32x4.add(low, high));
    v128.store(scores + (i >> 1), i16x8.narrow_i32x4_s(low, high));
  }
  store<f32>(statistics, load<f32>(statistics, 4) + <f32>sumInts(total) / MAX_WEIGHT_CODE, 4);
}

/**
 * round(2^14 e^x) for four x at most 0: 2^m 2^r with an integer m and |r| <= 1/2, and 2^r by a polynomial that meets it at
 * five Chebyshev nodes (relative error below 4e-6, a tenth of half a code).
 */
@inline
function quantizedWeights(x: v128): v128 {
  // Weights below 2^-30 round to 0; the bound keeps the exponent in range.
  const y = f32x4.pmax(f32x4.mul(x, f32x4.splat(<f32>1.4426950408889634)), f32x4.splat(-30.0));
  const shifted = f32x4.add(y, f32x4.splat(WHOLE));
  const r = f32x4.sub(y, f32x4.sub(shifted, f32x4.splat(WHOLE)));
  let p = f32x4.add(f32x4.mul(r, f32x4.splat(<f32>9.666368515e-3)), f32x4.splat(<f32>5.5921975842e-2));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(<f32>2.4022349038e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(<f32>6.9312104520e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.0));
  // Adds the exponents of 2^m and 2^14.
  const weight = i32x4.add(i32x4.add(p, i32x4.shl(shifted, 23)), i32x4.splat(14 << 23));
  return roundWhole(weight);
}

/** See `QuantizedKernels.attendGathered`. */
export function attendGathered(
  pages: Pages,
  indices: usize,
  count: i32,
  biases: usize,
  queries: usize,
  rows: i32,
  state: usize,
  scratch: usize,
): void {
  const table = pages.exactTable;
  const headOffset = pages.exactOffset;
  const d = pages.headDim;
  const isFloat16 = pages.isFloat16 != 0;
  const bytes = rowBytes(d, isFloat16);
  const queryBytes = <usize>d << 2;
  const codeBytes = <usize>d << 1;
  const scoreBytes: usize = <usize>PAGE_KEYS << 2;
  const padded = (rows + ROW_MULTIPLE - 1) & ~(ROW_MULTIPLE - 1);
  const output = stateOutput(state, rows);
  const queryCodes = scratch;
  const querySteps = queryCodes + <usize>padded * codeBytes;
  const keys = querySteps + (<usize>padded << 2);
  const keySteps = keys + codeBytes * PAGE_KEYS;
  const values = keySteps + scoreBytes;
  const gathered = values + codeBytes * PAGE_KEYS;
  const scores = gathered + queryBytes * PAGE_KEYS;
  for (let r = 0; r < padded; r++) {
    // Padding rows are whatever lies there, and are not stored.
    const step = quantizeRow(queries + <usize>r * queryBytes, d, queryCodes + <usize>r * codeBytes);
    store<f32>(querySteps + (<usize>r << 2), step);
  }
  // Rows behind the last are multiplied too, and then masked: they must not be NaN.
  memory.fill(gathered, 0, queryBytes * PAGE_KEYS);
  for (let done = 0; done < count; done += PAGE_KEYS) {
    const live = min(count - done, PAGE_KEYS);
    const whole = (live + 7) & ~7;
    const list = indices + (<usize>done << 2);
    const bias = biases + (<usize>done << 2);
    gather(table, headOffset, bytes, d, isFloat16, list, live, gathered);
    // The buffer of scores is free until the keys are quantized.
    quantizeKeys(gathered, whole, d, keys, keySteps, scores);
    for (let r = 0; r < rows; r += 4) {
      const q = queryCodes + <usize>r * codeBytes;
      const s = scores + <usize>r * scoreBytes;
      const steps = querySteps + (<usize>r << 2);
      for (let key = 0; key < whole; key += 8) {
        const column = <usize>key << 2;
        const b = keys + column;
        const columnSteps = keySteps + column;
        multiplyQuantized(q, codeBytes, b, 256, d >> 1, s + column, 256, steps, columnSteps, bias + column, 0, false);
      }
    }
    gather(table, headOffset + bytes * PAGE_KEYS, bytes, d, isFloat16, list, live, gathered);
    const factor = quantizeValues(gathered, whole, d, values) / MAX_WEIGHT_CODE;
    for (let r = 0; r < rows; r++) {
      const s = scores + <usize>r * scoreBytes;
      for (let i = live; i < PAGE_KEYS; i++) store<f32>(s + (<usize>i << 2), -Infinity);
      updateSoftmaxQuantized(s, state + (<usize>r << 3), output + <usize>r * queryBytes, d);
    }
    for (let r = 0; r < rows; r += 4) {
      const p = scores + <usize>r * scoreBytes;
      const o = output + <usize>r * queryBytes;
      for (let i: usize = 0; i < queryBytes; i += 32) {
        multiplyQuantized(p, 256, values + i, queryBytes, whole >> 1, o + i, queryBytes, 0, 0, 0, factor, true);
      }
    }
  }
}
