/**
 * Attention by 4-bit values of scattered keys. 64 keys at a time: with weights w and steps s, sum w s 16 (u - 7.5) is
 * the sum of u with weights 16 w s, less 7.5 times the sum of these. Rows of weights that come in threes share what is
 * unpacked.
 */
import { AHEAD, codesOf, stepOf, touch } from './codes';
import { sumLanes } from './exponential';
import { addTransposed } from './lanes';
import { PAGE_KEYS } from './pages';
import { codeDim } from './rotate';
import { absorbScores, stateOutput } from './softmax';

const WEIGHT_BYTES: usize = <usize>PAGE_KEYS << 2;

/**
 * See `CodeKernels.addCodedValues`. `plane` is the offset of the plane int4 in a head's page. `scratch` holds weights
 * (3, 64), steps (64) and addresses (64).
 */
export function addCodedValues(
  table: usize,
  headOffset: usize,
  d: i32,
  plane: usize,
  indices: usize,
  count: i32,
  scores: usize,
  stride: i32,
  rows: i32,
  state: usize,
  scratch: usize,
): void {
  const D = codeDim(d);
  const half = <usize>D >> 1;
  const offset = headOffset + plane;
  const weights = scratch;
  const steps = weights + WEIGHT_BYTES * 3;
  const addresses = steps + WEIGHT_BYTES;
  for (let done = 0; done < count; done += PAGE_KEYS) {
    const some = min(count - done, PAGE_KEYS);
    for (let i = 0; i < some; i++) {
      if ((i & (AHEAD - 1)) == 0) touch(table, offset, indices, done + i, done + min(i + AHEAD, some), D, half, steps + (<usize>i << 2));
      const position = load<u32>(indices + (<usize>(done + i) << 2));
      store<u32>(addresses + (<usize>i << 2), <u32>(codesOf(table, offset, position, D) + half));
      store<f32>(steps + (<usize>i << 2), stepOf(table, offset, position, D, 2) * <f32>16.0);
    }
    for (let i = some; i < ((some + 3) & ~3); i++) store<f32>(steps + (<usize>i << 2), 0.0);
    const log = scores + (<usize>done << 2);
    for (let r = 0; r < rows; ) {
      const row = log + (<usize>(r * stride) << 2);
      const output = stateOutput(state, rows) + (<usize>(r * D) << 2);
      const m0 = weigh(row, some, steps, state + (<usize>r << 3), output, D, weights);
      if (r + 3 > rows) {
        add1(addresses, some, weights, half, m0, output);
        r++;
        continue;
      }
      const next = <usize>stride << 2;
      const rowBytes = <usize>D << 2;
      const m1 = weigh(row + next, some, steps, state + (<usize>r << 3) + 8, output + rowBytes, D, weights + WEIGHT_BYTES);
      const m2 = weigh(
        row + next * 2,
        some,
        steps,
        state + (<usize>r << 3) + 16,
        output + rowBytes * 2,
        D,
        weights + WEIGHT_BYTES * 2,
      );
      for (let shift = 0; shift < 8; shift += 4) {
        for (let i: usize = 0; i < half; i += 16) {
          const to = output + (i << 2) + (shift == 0 ? 0 : half << 2);
          add3(addresses, some, weights, i, shift, m0, m1, m2, to, rowBytes);
        }
      }
      r += 3;
    }
  }
}

/**
 * Takes the log-weights of some keys into a row's running softmax, and writes their weights times their steps to
 * `weights`. Returns 7.5 times the sum of these.
 */
@inline
function weigh(log: usize, some: i32, steps: usize, statistics: usize, output: usize, D: i32, weights: usize): v128 {
  const end = (some + 3) & ~3;
  memory.copy(weights, log, <usize>some << 2);
  for (let i = some; i < end; i++) store<f32>(weights + (<usize>i << 2), -Infinity);
  absorbScores(weights, end, statistics, output, D);
  let sum = f32x4.splat(0.0);
  for (let i: usize = 0; i < <usize>end << 2; i += 16) {
    const w = f32x4.mul(v128.load(weights + i), v128.load(steps + i));
    v128.store(weights + i, w);
    sum = f32x4.add(sum, w);
  }
  return f32x4.splat(sumLanes(sum) * <f32>7.5);
}

/** Every fourth of 16 codes, from one that lies in the lowest bits on, as floats. */
@inline
function widen(bytes: v128): v128 {
  return f32x4.convert_i32x4_s(v128.and(bytes, i32x4.splat(15)));
}

/**
 * Adds 16 dimensions for three rows: those whose codes lie in the lower halves (`shift` 0) or in the upper ones (4) of
 * the 16 bytes from byte `from` of the codes on. A lane of a vector holds four of them.
 */
@inline
function add3(
  addresses: usize,
  some: i32,
  weights: usize,
  from: usize,
  shift: i32,
  m0: v128,
  m1: v128,
  m2: v128,
  output: usize,
  rowBytes: usize,
): void {
  let a0 = f32x4.splat(0.0);
  let a1 = f32x4.splat(0.0);
  let a2 = f32x4.splat(0.0);
  let b0 = f32x4.splat(0.0);
  let b1 = f32x4.splat(0.0);
  let b2 = f32x4.splat(0.0);
  let c0 = f32x4.splat(0.0);
  let c1 = f32x4.splat(0.0);
  let c2 = f32x4.splat(0.0);
  let e0 = f32x4.splat(0.0);
  let e1 = f32x4.splat(0.0);
  let e2 = f32x4.splat(0.0);
  const end = addresses + (<usize>some << 2);
  for (let at = addresses; at < end; at += 4) {
    const bytes = i32x4.shr_u(v128.load(<usize>load<u32>(at) + from), shift);
    const w0 = v128.load32_splat(weights);
    const w1 = v128.load32_splat(weights, PAGE_KEYS << 2);
    const w2 = v128.load32_splat(weights, PAGE_KEYS << 3);
    weights += 4;
    let u = widen(bytes);
    a0 = f32x4.add(a0, f32x4.mul(u, w0));
    a1 = f32x4.add(a1, f32x4.mul(u, w1));
    a2 = f32x4.add(a2, f32x4.mul(u, w2));
    u = widen(i32x4.shr_u(bytes, 8));
    b0 = f32x4.add(b0, f32x4.mul(u, w0));
    b1 = f32x4.add(b1, f32x4.mul(u, w1));
    b2 = f32x4.add(b2, f32x4.mul(u, w2));
    u = widen(i32x4.shr_u(bytes, 16));
    c0 = f32x4.add(c0, f32x4.mul(u, w0));
    c1 = f32x4.add(c1, f32x4.mul(u, w1));
    c2 = f32x4.add(c2, f32x4.mul(u, w2));
    u = widen(i32x4.shr_u(bytes, 24));
    e0 = f32x4.add(e0, f32x4.mul(u, w0));
    e1 = f32x4.add(e1, f32x4.mul(u, w1));
    e2 = f32x4.add(e2, f32x4.mul(u, w2));
  }
  addTransposed(a0, b0, c0, e0, m0, output);
  addTransposed(a1, b1, c1, e1, m1, output + rowBytes);
  addTransposed(a2, b2, c2, e2, m2, output + (rowBytes << 1));
}

/** Adds all dimensions for one row, those of both halves of 16 bytes at a time. */
@inline
function add1(addresses: usize, some: i32, weights: usize, half: usize, middle: v128, output: usize): void {
  const end = addresses + (<usize>some << 2);
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
      a0 = f32x4.add(a0, f32x4.mul(widen(bytes), w));
      a1 = f32x4.add(a1, f32x4.mul(widen(i32x4.shr_u(bytes, 4)), w));
      b0 = f32x4.add(b0, f32x4.mul(widen(i32x4.shr_u(bytes, 8)), w));
      b1 = f32x4.add(b1, f32x4.mul(widen(i32x4.shr_u(bytes, 12)), w));
      c0 = f32x4.add(c0, f32x4.mul(widen(i32x4.shr_u(bytes, 16)), w));
      c1 = f32x4.add(c1, f32x4.mul(widen(i32x4.shr_u(bytes, 20)), w));
      e0 = f32x4.add(e0, f32x4.mul(widen(i32x4.shr_u(bytes, 24)), w));
      e1 = f32x4.add(e1, f32x4.mul(widen(i32x4.shr_u(bytes, 28)), w));
    }
    addTransposed(a0, b0, c0, e0, middle, output + (from << 2));
    addTransposed(a1, b1, c1, e1, middle, output + ((half + from) << 2));
  }
}
