/**
 * Attention by 4-bit values of scattered keys. 64 keys at a time: with weights w and steps s, sum w s 16 (u - 7.5) is
 * the sum of u with weights 16 w s, less 7.5 times the sum of these. Three rows of weights share the unpacking,
 * and their weights are integers, 32,767 for the largest of the 64, so that one instruction multiplies and adds codes of
 * two keys.
 */
import { PREFETCH_KEYS, int4RowAddress, quantizationStep, prefetch } from './quantized-scores';
import { maxLanes, sumLanes } from './exponential';
import { addTransposed, sumInts } from './lanes';
import { Pages } from './generated';
import { PAGE_KEYS } from './pages';
import { rotatedDim } from './rotate';
import { updateSoftmax, stateOutput } from './softmax';

const WEIGHT_BYTES: usize = <usize>PAGE_KEYS << 2;

/**
 * See `QuantizedKernels.addQuantizedValues`. `scratch` holds weights (3, 64), steps (64), addresses (64) and pairs of
 * integer weights (3, 32).
 */
export function addQuantizedValues(
  pages: Pages,
  indices: usize,
  count: i32,
  scores: usize,
  stride: i32,
  rows: i32,
  state: usize,
  scratch: usize,
): void {
  const table = pages.table;
  const headOffset = pages.headOffset;
  const d = pages.headDim;
  const encodingOffset = pages.int4;
  const D = rotatedDim(d);
  const half = <usize>D >> 1;
  const offset = headOffset + encodingOffset;
  const weights = scratch;
  const steps = weights + WEIGHT_BYTES * 3;
  const addresses = steps + WEIGHT_BYTES;
  const pairs = addresses + WEIGHT_BYTES + 16;
  for (let done = 0; done < count; done += PAGE_KEYS) {
    const chunk = min(count - done, PAGE_KEYS);
    for (let i = 0; i < chunk; i++) {
      if ((i & (PREFETCH_KEYS - 1)) == 0) prefetch(table, offset, indices, done + i, done + min(i + PREFETCH_KEYS, chunk), D, half, steps + (<usize>i << 2));
      const position = load<u32>(indices + (<usize>(done + i) << 2));
      store<u32>(addresses + (<usize>i << 2), <u32>(int4RowAddress(table, offset, position, D) + half));
      store<f32>(steps + (<usize>i << 2), quantizationStep(table, offset, position, D, 2) * <f32>16.0);
    }
    for (let i = chunk; i < ((chunk + 3) & ~3); i++) store<f32>(steps + (<usize>i << 2), 0.0);
    // An odd key is paired with itself, with weight 0.
    if (chunk & 1) store<u32>(addresses + (<usize>chunk << 2), load<u32>(addresses + (<usize>(chunk - 1) << 2)));
    const log = scores + (<usize>done << 2);
    for (let r = 0; r < rows; ) {
      const output = stateOutput(state, rows) + (<usize>(r * D) << 2);
      if (r + 3 > rows) {
        const middle = updateWeights(log + (<usize>(r * stride) << 2), chunk, steps, state + (<usize>r << 3), output, D, weights);
        add1(addresses, chunk, weights, half, middle, output);
        r++;
        continue;
      }
      for (let i = 0; i < 3; i++) {
        const row = output + (<usize>(i * D) << 2);
        updateWeights(log + (<usize>((r + i) * stride) << 2), chunk, steps, state + (<usize>(r + i) << 3), row, D, weights);
        pairWeights(weights, chunk, pairs + <usize>i * PAIRS_BYTES);
      }
      for (let i: usize = 0; i < half; i += 8) add3(addresses, chunk, pairs, i, half, output + (i << 2), <usize>D << 2);
      r += 3;
    }
  }
}

/** 32 pairs of weights, then the value of their unit, a float, and 15 times their sum. */
const PAIRS_BYTES: usize = 144;

/** Rounds up to 64 weights >= 0 to integers, of which the largest is 32,767. */
@inline
function pairWeights(weights: usize, chunk: i32, pairs: usize): void {
  const end = (chunk + 3) & ~3;
  let maxima = f32x4.splat(0.0);
  for (let i: usize = 0; i < <usize>end << 2; i += 16) maxima = f32x4.pmax(maxima, v128.load(weights + i));
  const maxWeight = maxLanes(maxima);
  const scale = f32x4.splat(maxWeight > <f32>1e-30 ? <f32>32767.0 / maxWeight : <f32>0.0);
  let sum = i32x4.splat(0);
  for (let i: usize = 0; i < <usize>end << 2; i += 16) {
    const whole = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(weights + i), scale)));
    sum = i32x4.add(sum, whole);
    v128.store64_lane(pairs + (i >> 1), i16x8.narrow_i32x4_s(whole, whole), 0);
  }
  store<f32>(pairs, maxWeight * <f32>(1.0 / 32767.0), 128);
  store<i32>(pairs, 15 * sumInts(sum), 132);
}

/**
 * Adds the log-weights of some keys to a row's running softmax, and writes their weights times their steps to `weights`.
 * Returns 7.5 times the sum of these.
 */
@inline
function updateWeights(log: usize, chunk: i32, steps: usize, statistics: usize, output: usize, D: i32, weights: usize): v128 {
  const end = (chunk + 3) & ~3;
  memory.copy(weights, log, <usize>chunk << 2);
  for (let i = chunk; i < end; i++) store<f32>(weights + (<usize>i << 2), -Infinity);
  updateSoftmax(weights, end, statistics, output, D);
  let sum = f32x4.splat(0.0);
  for (let i: usize = 0; i < <usize>end << 2; i += 16) {
    const w = f32x4.mul(v128.load(weights + i), v128.load(steps + i));
    v128.store(weights + i, w);
    sum = f32x4.add(sum, w);
  }
  return f32x4.splat(sumLanes(sum) * <f32>7.5);
}

/** Every fourth of 16 codes as floats, from the code in the lowest bits on. */
@inline
function unpackNibbles(bytes: v128): v128 {
  return f32x4.convert_i32x4_s(v128.and(bytes, i32x4.splat(15)));
}

/**
 * Adds 16 dimensions for three rows: the lower and the upper halves of the 8 bytes of codes from byte `from` on.
 */
@inline
function add3(addresses: usize, chunk: i32, pairs: usize, from: usize, half: usize, output: usize, rowBytes: usize): void {
  const fifteen = i8x16.splat(15);
  let a0 = i32x4.splat(0);
  let a1 = i32x4.splat(0);
  let a2 = i32x4.splat(0);
  let b0 = i32x4.splat(0);
  let b1 = i32x4.splat(0);
  let b2 = i32x4.splat(0);
  let c0 = i32x4.splat(0);
  let c1 = i32x4.splat(0);
  let c2 = i32x4.splat(0);
  let e0 = i32x4.splat(0);
  let e1 = i32x4.splat(0);
  let e2 = i32x4.splat(0);
  const end = addresses + (<usize>chunk << 2);
  let weights = pairs;
  for (let at = addresses; at < end; at += 8) {
    const one = v128.load64_zero(<usize>load<u32>(at) + from);
    const other = v128.load64_zero(<usize>load<u32>(at, 4) + from);
    const w0 = v128.load32_splat(weights);
    const w1 = v128.load32_splat(weights, <usize>PAIRS_BYTES);
    const w2 = v128.load32_splat(weights, <usize>PAIRS_BYTES * 2);
    weights += 4;
    const both = v128.shuffle<i8>(one, other, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const low = v128.and(both, fifteen);
    const high = v128.and(i16x8.shr_u(both, 4), fifteen);
    let u = i16x8.extend_low_i8x16_u(low);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(u, w0));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(u, w1));
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(u, w2));
    u = i16x8.extend_high_i8x16_u(low);
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(u, w0));
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(u, w1));
    b2 = i32x4.add(b2, i32x4.dot_i16x8_s(u, w2));
    u = i16x8.extend_low_i8x16_u(high);
    c0 = i32x4.add(c0, i32x4.dot_i16x8_s(u, w0));
    c1 = i32x4.add(c1, i32x4.dot_i16x8_s(u, w1));
    c2 = i32x4.add(c2, i32x4.dot_i16x8_s(u, w2));
    u = i16x8.extend_high_i8x16_u(high);
    e0 = i32x4.add(e0, i32x4.dot_i16x8_s(u, w0));
    e1 = i32x4.add(e1, i32x4.dot_i16x8_s(u, w1));
    e2 = i32x4.add(e2, i32x4.dot_i16x8_s(u, w2));
  }
  const upper = output + (half << 2);
  addSums(a0, b0, pairs, output);
  addSums(a1, b1, pairs + PAIRS_BYTES, output + rowBytes);
  addSums(a2, b2, pairs + PAIRS_BYTES * 2, output + (rowBytes << 1));
  addSums(c0, e0, pairs, upper);
  addSums(c1, e1, pairs + PAIRS_BYTES, upper + rowBytes);
  addSums(c2, e2, pairs + PAIRS_BYTES * 2, upper + (rowBytes << 1));
}

/** Adds 8 sums of u with integer weights, less 7.5 times the sum of the weights, to 8 floats. */
@inline
function addSums(a: v128, b: v128, pairs: usize, output: usize): void {
  const unit = f32x4.splat(load<f32>(pairs, 128) * <f32>0.5);
  const middle = i32x4.splat(load<i32>(pairs, 132));
  const first = f32x4.convert_i32x4_s(i32x4.sub(i32x4.add(a, a), middle));
  const second = f32x4.convert_i32x4_s(i32x4.sub(i32x4.add(b, b), middle));
  v128.store(output, f32x4.add(v128.load(output), f32x4.mul(first, unit)));
  v128.store(output, f32x4.add(v128.load(output, 16), f32x4.mul(second, unit)), 16);
}

/** Adds all dimensions for one row, those of both halves of 16 bytes at a time. */
@inline
function add1(addresses: usize, chunk: i32, weights: usize, half: usize, middle: v128, output: usize): void {
  const end = addresses + (<usize>chunk << 2);
  for (let from: usize = 0; from < half; from += 16) {
    let a0 = f32x4.splat(0.0);
    let a1 = f32x4.splat(0.0);
    let b0 = f32x4.splat(0.0);
    let b1 = f32x4.splat(0.0);
    let c0 = f32x4.splat(0.0);
    let c1 = f32x4.splat(0.0);
    let e0 = f32x4.splat(0.0);
    let e1 = f32x4.splat(0.0);
    let weight = weights;
    for (let at = addresses; at < end; at += 4) {
      const bytes = v128.load(<usize>load<u32>(at) + from);
      const w = v128.load32_splat(weight);
      weight += 4;
      a0 = f32x4.add(a0, f32x4.mul(unpackNibbles(bytes), w));
      a1 = f32x4.add(a1, f32x4.mul(unpackNibbles(i32x4.shr_u(bytes, 4)), w));
      b0 = f32x4.add(b0, f32x4.mul(unpackNibbles(i32x4.shr_u(bytes, 8)), w));
      b1 = f32x4.add(b1, f32x4.mul(unpackNibbles(i32x4.shr_u(bytes, 12)), w));
      c0 = f32x4.add(c0, f32x4.mul(unpackNibbles(i32x4.shr_u(bytes, 16)), w));
      c1 = f32x4.add(c1, f32x4.mul(unpackNibbles(i32x4.shr_u(bytes, 20)), w));
      e0 = f32x4.add(e0, f32x4.mul(unpackNibbles(i32x4.shr_u(bytes, 24)), w));
      e1 = f32x4.add(e1, f32x4.mul(unpackNibbles(i32x4.shr_u(bytes, 28)), w));
    }
    addTransposed(a0, b0, c0, e0, middle, output + (from << 2));
    addTransposed(a1, b1, c1, e1, middle, output + ((half + from) << 2));
  }
}
