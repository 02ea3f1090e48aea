/** Scores by 4-bit and int8 codes, and attention by 4-bit values. */
import { sumLanes } from './exponential';
import { PAGE_KEYS, pageAddress } from './pages';
import { codeDim } from './rotate';
import { addWeightedRows } from './rows';
import { centreScore, maskOf, queryCodes, queryNumbers, sumInts } from './scan';
import { absorbScores, stateOutput } from './softmax';

/** Where the codes of a key lie: its row of the plane int4. */
@inline
function codesOf(table: usize, planeOffset: usize, position: i32, D: i32): usize {
  return pageAddress(table, planeOffset, position / PAGE_KEYS) + <usize>((position & (PAGE_KEYS - 1)) * D);
}

/** The step of a key's codes, or of its value's (`what` 2), behind the rows of its page. */
@inline
function stepOf(table: usize, planeOffset: usize, position: i32, D: i32, what: usize): f32 {
  const steps = pageAddress(table, planeOffset, position / PAGE_KEYS) + <usize>(PAGE_KEYS * D);
  return reinterpret<f32>(<u32>load<u16>(steps + <usize>((position & (PAGE_KEYS - 1)) << 2) + what) << 16);
}

/** The upper 4 bits of 16 bytes: bytes have no shift of their own in hardware. */
@inline
function upperNibbles(bytes: v128, fifteen: v128): v128 {
  return v128.and(i16x8.shr_u(bytes, 4), fifteen);
}

/** Sum of u * code over D dimensions: 4-bit numbers u against the query's int16 codes. */
@inline
function dotNibbles(row: usize, codes: usize, D: i32, fifteen: v128): i32 {
  const half = <usize>D >> 1;
  const upper = codes + <usize>D;
  let sum = i32x4.splat(0);
  for (let i: usize = 0; i < half; i += 16) {
    const both = v128.load(row + i);
    const low = v128.and(both, fifteen);
    const high = upperNibbles(both, fifteen);
    const a = codes + (i << 1);
    const b = upper + (i << 1);
    sum = i32x4.add(sum, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(low), v128.load(a)));
    sum = i32x4.add(sum, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(low), v128.load(a, 16)));
    sum = i32x4.add(sum, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(high), v128.load(b)));
    sum = i32x4.add(sum, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(high), v128.load(b, 16)));
  }
  return sumInts(sum);
}

let sum0: i32 = 0;
let sum1: i32 = 0;
let sum2: i32 = 0;

/** The same for three rows of codes, one behind the other, which share the unpacking: sum0 to sum2. */
@inline
function dotNibbles3(row: usize, codes: usize, D: i32, fifteen: v128): void {
  const half = <usize>D >> 1;
  const codeBytes = <usize>D << 1;
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  let c = i32x4.splat(0);
  for (let i: usize = 0; i < half; i += 16) {
    const both = v128.load(row + i);
    const low = v128.and(both, fifteen);
    const high = upperNibbles(both, fifteen);
    const u0 = i16x8.extend_low_i8x16_u(low);
    const u1 = i16x8.extend_high_i8x16_u(low);
    const u2 = i16x8.extend_low_i8x16_u(high);
    const u3 = i16x8.extend_high_i8x16_u(high);
    const at = codes + (i << 1);
    a = i32x4.add(a, dotFour(u0, u1, u2, u3, at, at + <usize>D));
    b = i32x4.add(b, dotFour(u0, u1, u2, u3, at + codeBytes, at + codeBytes + <usize>D));
    c = i32x4.add(c, dotFour(u0, u1, u2, u3, at + (codeBytes << 1), at + (codeBytes << 1) + <usize>D));
  }
  sum0 = sumInts(a);
  sum1 = sumInts(b);
  sum2 = sumInts(c);
}

@inline
function dotFour(u0: v128, u1: v128, u2: v128, u3: v128, low: usize, high: usize): v128 {
  return i32x4.add(
    i32x4.add(i32x4.dot_i16x8_s(u0, v128.load(low)), i32x4.dot_i16x8_s(u1, v128.load(low, 16))),
    i32x4.add(i32x4.dot_i16x8_s(u2, v128.load(high)), i32x4.dot_i16x8_s(u3, v128.load(high, 16))),
  );
}

/** Keys whose lines are asked for before the first of them is needed. */
const AHEAD: i32 = 32;

/**
 * Reads a number of each key's codes and steps, so that the waits for memory overlap. The sum goes to `sink`, which is
 * written again afterwards: a read without a use would be left out.
 */
@inline
function touch(table: usize, planeOffset: usize, indices: usize, from: i32, to: i32, D: i32, sink: usize): void {
  let sum: u32 = 0;
  for (let j = from; j < to; j++) {
    const position = load<i32>(indices + (<usize>j << 2));
    const page = pageAddress(table, planeOffset, position / PAGE_KEYS);
    const key = <usize>(position & (PAGE_KEYS - 1));
    sum += <u32>load<u8>(page + key * <usize>D) + <u32>load<u8>(page + <usize>(PAGE_KEYS * D) + (key << 2));
  }
  store<u32>(sink + (<usize>from << 2), sum);
}

/** See `CodeKernels.scoreCodes`. `plane` is the offset of the plane int4 in a head's page. */
export function scoreCodes(
  table: usize,
  headOffset: usize,
  d: i32,
  plane: usize,
  from: i32,
  indices: usize,
  count: i32,
  codeQuery: usize,
  rows: i32,
  scores: usize,
  stride: i32,
  bases: usize,
  baseStride: i32,
): void {
  const D = codeDim(d);
  const codes = queryCodes(codeQuery, rows, D);
  const numbers = queryNumbers(codeQuery, rows, D);
  const fifteen = maskOf(codeQuery, rows, D);
  for (let j = 0; j < count; j++) {
    if ((j & (AHEAD - 1)) == 0) touch(table, headOffset + plane, indices, j, min(j + AHEAD, count), D, scores);
    const position = load<i32>(indices + (<usize>j << 2));
    const row = codesOf(table, headOffset + plane, position, D);
    const step = stepOf(table, headOffset + plane, position, D, 0) * <f32>16.0;
    const base = bases + (<usize>((position - from) / PAGE_KEYS) << 2);
    const score = scores + (<usize>j << 2);
    let r = 0;
    for (; r + 3 <= rows; r += 3) {
      dotNibbles3(row, codes + (<usize>(r * D) << 1), D, fifteen);
      storeScore(sum0, numbers, r, step, base, baseStride, score, stride);
      storeScore(sum1, numbers, r + 1, step, base, baseStride, score, stride);
      storeScore(sum2, numbers, r + 2, step, base, baseStride, score, stride);
    }
    for (; r < rows; r++) {
      const sum = dotNibbles(row, codes + (<usize>(r * D) << 1), D, fifteen);
      storeScore(sum, numbers, r, step, base, baseStride, score, stride);
    }
  }
}

/** base + step * (sum of u * code - 7.5 * sum of codes), in the units of the query's codes, for row r. */
@inline
function storeScore(
  sum: i32,
  numbers: usize,
  r: i32,
  step: f32,
  bases: usize,
  baseStride: i32,
  scores: usize,
  stride: i32,
): void {
  const own = numbers + <usize>(r << 6);
  const base = load<f32>(bases + (<usize>(r * baseStride) << 2));
  const score = (<f32>sum - <f32>7.5 * load<f32>(own, 4)) * (step * load<f32>(own));
  store<f32>(scores + (<usize>(r * stride) << 2), base + score);
}

/** Widens the 4-bit numbers of a row (D) to floats 0 to 15. */
@inline
function widenNibbles(row: usize, D: i32, fifteen: v128, destination: usize): void {
  const half = <usize>D >> 1;
  for (let i: usize = 0; i < half; i += 16) {
    const both = v128.load(row + i);
    storeBytes(v128.and(both, fifteen), destination + (i << 2));
    storeBytes(upperNibbles(both, fifteen), destination + ((half + i) << 2));
  }
}

@inline
function storeBytes(bytes: v128, destination: usize): void {
  const low = i16x8.extend_low_i8x16_u(bytes);
  const high = i16x8.extend_high_i8x16_u(bytes);
  v128.store(destination, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_u(low)));
  v128.store(destination, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_u(low)), 16);
  v128.store(destination, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_u(high)), 32);
  v128.store(destination, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_u(high)), 48);
}

/**
 * See `CodeKernels.addCodedValues`. 64 keys at a time: with weights w and steps s, sum w s 16 (u - 7.5) is the sum of u
 * with weights 16 w s, less 7.5 times the sum of these. `scratch` holds the numbers u (64, D) and 64 weights.
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
  const weights = scratch + (<usize>(PAGE_KEYS * D) << 2);
  const steps = weights + (PAGE_KEYS << 2);
  v128.store(steps + (PAGE_KEYS << 2), i8x16.splat(15));
  const fifteen = v128.load(steps + (PAGE_KEYS << 2));
  for (let done = 0; done < count; done += PAGE_KEYS) {
    const some = min(count - done, PAGE_KEYS);
    const end = (some + 3) & ~3;
    for (let i = 0; i < some; i++) {
      const position = load<i32>(indices + (<usize>(done + i) << 2));
      const row = codesOf(table, headOffset + plane, position, D) + (<usize>D >> 1);
      widenNibbles(row, D, fifteen, scratch + (<usize>(i * D) << 2));
      store<f32>(steps + (<usize>i << 2), stepOf(table, headOffset + plane, position, D, 2) * <f32>16.0);
    }
    for (let i = some; i < end; i++) store<f32>(steps + (<usize>i << 2), 0.0);
    for (let r = 0; r < rows; r++) {
      memory.copy(weights, scores + (<usize>(r * stride + done) << 2), <usize>some << 2);
      for (let i = some; i < end; i++) store<f32>(weights + (<usize>i << 2), -Infinity);
      const output = stateOutput(state, rows) + (<usize>(r * D) << 2);
      absorbScores(weights, end, state + (<usize>r << 3), output, D);
      let sum = f32x4.splat(0.0);
      for (let i: usize = 0; i < <usize>end << 2; i += 16) {
        const w = f32x4.mul(v128.load(weights + i), v128.load(steps + i));
        v128.store(weights + i, w);
        sum = f32x4.add(sum, w);
      }
      addWeightedRows(weights, scratch, some, D, output);
      const middle = f32x4.splat(sumLanes(sum) * <f32>7.5);
      for (let i: usize = 0; i < <usize>D << 2; i += 16) {
        v128.store(output + i, f32x4.sub(v128.load(output + i), middle));
      }
    }
  }
}

/** int8 codes of 8 dimensions, as int16: 16 times the upper halves, less 128, and the lower ones. */
@inline
function joined(upper: v128, lower: v128): v128 {
  return i16x8.sub(i16x8.add(i16x8.shl(upper, 4), lower), i16x8.splat(128));
}

/** See `CodeKernels.boundScores`. `upperPlane` and `lowerPlane` are the offsets of the planes int4 and int8. */
export function boundScores(
  table: usize,
  headOffset: usize,
  d: i32,
  signPlane: usize,
  upperPlane: usize,
  lowerPlane: usize,
  from: i32,
  to: i32,
  codeQuery: usize,
  norms: usize,
  rows: i32,
  lower: usize,
  upper: usize,
  stride: i32,
): void {
  const D = codeDim(d);
  const half = <usize>D >> 1;
  const codes = queryCodes(codeQuery, rows, D);
  const numbers = queryNumbers(codeQuery, rows, D);
  const fifteen = maskOf(codeQuery, rows, D);
  for (let position = from; position < to; position++) {
    const key = position & (PAGE_KEYS - 1);
    const record = pageAddress(table, headOffset, position / PAGE_KEYS);
    const centre = record + signPlane + (<usize>D << 3) + (PAGE_KEYS << 1);
    const high = record + upperPlane + <usize>(key * D);
    const low = record + lowerPlane + <usize>key * half;
    const step = reinterpret<f32>(
      <u32>load<u16>(record + upperPlane + <usize>(PAGE_KEYS * D) + (<usize>key << 2)) << 16,
    );
    const error = reinterpret<f32>(
      <u32>load<u16>(record + lowerPlane + <usize>PAGE_KEYS * half + (<usize>key << 1)) << 16,
    );
    const length = (centreNorm(centre, D) + codeNorm(high, low, half, fifteen) * step) * <f32>1.0001;
    for (let r = 0; r < rows; r++) {
      const own = numbers + <usize>(r << 6);
      const norm = load<f32>(norms + (<usize>r << 2));
      const base = centreScore(codeQuery + (<usize>(r * D) << 2), centre, D);
      const sum = <f32>dotCodes(high, low, codes + (<usize>(r * D) << 1), half, fifteen) + <f32>0.5 * load<f32>(own, 4);
      const score = base + sum * step * load<f32>(own);
      // The bound of the codes; what the query's codes leave out; and 256 roundings of float32 on the way.
      const rounding = norm * length * <f32>1.52587890625e-5;
      const slack = (norm * error + load<f32>(own, 12) * length + rounding) * <f32>1.0001 + <f32>1e-37;
      const at = <usize>(r * stride + position - from) << 2;
      store<f32>(lower + at, score - slack);
      store<f32>(upper + at, score + slack);
    }
  }
}

/** Sum of int8 codes times the query's int16 codes. */
@inline
function dotCodes(high: usize, low: usize, codes: usize, half: usize, fifteen: v128): i32 {
  let sum = i32x4.splat(0);
  for (let i: usize = 0; i < half; i += 16) {
    const h = v128.load(high + i);
    const l = v128.load(low + i);
    const h0 = v128.and(h, fifteen);
    const l0 = v128.and(l, fifteen);
    const h1 = upperNibbles(h, fifteen);
    const l1 = upperNibbles(l, fifteen);
    const a = codes + (i << 1);
    const b = a + (half << 1);
    sum = i32x4.add(sum, i32x4.dot_i16x8_s(joined(i16x8.extend_low_i8x16_u(h0), i16x8.extend_low_i8x16_u(l0)), v128.load(a)));
    sum = i32x4.add(sum, i32x4.dot_i16x8_s(joined(i16x8.extend_high_i8x16_u(h0), i16x8.extend_high_i8x16_u(l0)), v128.load(a, 16)));
    sum = i32x4.add(sum, i32x4.dot_i16x8_s(joined(i16x8.extend_low_i8x16_u(h1), i16x8.extend_low_i8x16_u(l1)), v128.load(b)));
    sum = i32x4.add(sum, i32x4.dot_i16x8_s(joined(i16x8.extend_high_i8x16_u(h1), i16x8.extend_high_i8x16_u(l1)), v128.load(b, 16)));
  }
  return sumInts(sum);
}

/** Square of 2 code + 1, summed over 8 dimensions to four numbers. */
@inline
function squares(codes: v128): v128 {
  const odd = i16x8.add(i16x8.shl(codes, 1), i16x8.splat(1));
  return i32x4.dot_i16x8_s(odd, odd);
}

/** ||y8|| in steps: of numbers code + 1/2. */
@inline
function codeNorm(high: usize, low: usize, half: usize, fifteen: v128): f32 {
  let sum = i32x4.splat(0);
  for (let i: usize = 0; i < half; i += 16) {
    const h = v128.load(high + i);
    const l = v128.load(low + i);
    const h0 = v128.and(h, fifteen);
    const l0 = v128.and(l, fifteen);
    const h1 = upperNibbles(h, fifteen);
    const l1 = upperNibbles(l, fifteen);
    sum = i32x4.add(sum, squares(joined(i16x8.extend_low_i8x16_u(h0), i16x8.extend_low_i8x16_u(l0))));
    sum = i32x4.add(sum, squares(joined(i16x8.extend_high_i8x16_u(h0), i16x8.extend_high_i8x16_u(l0))));
    sum = i32x4.add(sum, squares(joined(i16x8.extend_low_i8x16_u(h1), i16x8.extend_low_i8x16_u(l1))));
    sum = i32x4.add(sum, squares(joined(i16x8.extend_high_i8x16_u(h1), i16x8.extend_high_i8x16_u(l1))));
  }
  return <f32>Math.sqrt(<f64>sumInts(sum)) * <f32>0.5;
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
