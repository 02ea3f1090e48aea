/** Bounds on scores by int8 keys: the quantization error, and the rounding error of this computation. */
import { sumLanes } from './exponential';
import { halve, sumInts, sumPairs } from './lanes';
import { Pages } from './generated';
import { PAGE_KEYS, pageAddress } from './pages';
import { rotatedDim } from './rotate';
import { centreOffset, factorsOffset, pageFactor, queryCodes, queryNumbers } from './scan';

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
  for (let start = from; start < to; start += PAGE_KEYS) {
    const record = pageAddress(table, headOffset, start / PAGE_KEYS);
    const factors = record + signOffset + factorsOffset(D);
    const centre = record + signOffset + centreOffset(D);
    const length = centreNorm(centre, D);
    for (let r = 0; r < rows; r++) {
      const at = <usize>(r * stride + start - from) << 2;
      boundPage(
        record + int4Offset,
        record + int8Offset,
        factors,
        pageFactor(centre, D) * <f32>3.0519e-5, // 1 / 32,767, rounded up
        length,
        centreScore(quantizedQuery + (<usize>(r * D) << 2), centre, D),
        queryCodes(quantizedQuery, rows, D) + (<usize>(r * D) << 1),
        queryNumbers(quantizedQuery, rows, D) + <usize>(r << 6),
        load<f32>(norms + (<usize>r << 2)),
        D,
        lower + at,
        upper + at,
      );
    }
  }
}

/**
 * Bounds of a page's keys for one row. `factorStep` is the unit of their factors, `length` the norm of the centre and
 * `base` its score; `norm` is that of the query, whose `codes` have their step and sums in `numbers`.
 */
@inline
function boundPage(
  highRows: usize,
  lowRows: usize,
  factors: usize,
  factorStep: f32,
  length: f32,
  base: f32,
  codes: usize,
  numbers: usize,
  norm: f32,
  D: i32,
  lower: usize,
  upper: usize,
): void {
  const half = <usize>D >> 1;
  // Codes are read as 0 to 255, so 127.5 times the sum of the query's codes, an integer, is too much: 128 times it is
  // subtracted in integers, and half of it added in floats.
  const codeSum = load<f32>(numbers, 4);
  const codeSumOffset = i32x4.splat(<i32>codeSum * 128);
  const halfCodeSum = f32x4.splat(codeSum * <f32>0.5);
  const unit = f32x4.splat(load<f32>(numbers));
  // The query's quantization error, and 256 roundings of float32.
  const slope = f32x4.splat(load<f32>(numbers, 12) + norm * <f32>1.52587890625e-5);
  const root = f32x4.splat(<f32>Math.sqrt(<f64>D));
  for (let key: usize = 0; key < <usize>PAGE_KEYS; key += 4) {
    const high = highRows + key * <usize>D;
    const low = lowRows + key * half;
    const sums = sumPairs(
      halve(dotCodes(high, low, codes, half), dotCodes(high + <usize>D, low + half, codes, half)),
      halve(
        dotCodes(high + <usize>D * 2, low + half * 2, codes, half),
        dotCodes(high + <usize>D * 3, low + half * 3, codes, half),
      ),
    );
    const step = i32x4.shl(v128.load(highRows + <usize>(PAGE_KEYS * D) + (key << 2)), 16);
    const error = bfloat16ToFloat32(lowRows + <usize>PAGE_KEYS * half + (key << 1));
    const parts = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(v128.load64_zero(factors + (key << 1))));
    const factor = f32x4.mul(parts, f32x4.splat(factorStep));
    const sum = f32x4.add(f32x4.convert_i32x4_s(i32x4.sub(sums, codeSumOffset)), halfCodeSum);
    const score = f32x4.add(f32x4.splat(base), f32x4.mul(f32x4.mul(sum, step), unit));
    // ||y8|| <= ||y|| + e, and ||y|| = f ||y||_1 / ||y|| <= f sqrt(D); twice e, since f is of a y that is rounded.
    const lengths = f32x4.add(
      f32x4.splat(length),
      f32x4.add(f32x4.mul(factor, root), f32x4.add(error, error)),
    );
    const slack = f32x4.add(
      f32x4.mul(
        f32x4.add(f32x4.mul(f32x4.splat(norm), error), f32x4.mul(slope, lengths)),
        f32x4.splat(<f32>1.0002),
      ),
      f32x4.splat(<f32>1e-37),
    );
    // Numbers that overflow float32 bound nothing.
    const valid = v128.and(
      f32x4.lt(slack, f32x4.splat(<f32>1e38)),
      f32x4.lt(f32x4.abs(score), f32x4.splat(<f32>1e38)),
    );
    v128.store(lower + (key << 2), v128.bitselect(f32x4.sub(score, slack), f32x4.splat(-Infinity), valid));
    v128.store(upper + (key << 2), v128.bitselect(f32x4.add(score, slack), f32x4.splat(Infinity), valid));
  }
}

/** Four bfloat16 as floats. */
@inline
function bfloat16ToFloat32(address: usize): v128 {
  return i32x4.shl(i32x4.extend_low_i16x8_u(v128.load64_zero(address)), 16);
}

/** Dot product of (int8 codes + 128) with the query's int16 codes: four partial sums. */
@inline
function dotCodes(high: usize, low: usize, codes: usize, half: usize): v128 {
  const lowest = i16x8.splat(0x0f);
  const second = i16x8.splat(0xf0);
  let sum = i32x4.splat(0);
  for (let i: usize = 0; i < half; i += 16) {
    const h = v128.load(high + i);
    const l = v128.load(low + i);
    const c0 = v128.or(v128.and(i16x8.shl(h, 4), second), v128.and(l, lowest));
    const c1 = v128.or(v128.and(h, second), v128.and(i16x8.shr_u(l, 4), lowest));
    const c2 = v128.or(v128.and(i16x8.shr_u(h, 4), second), v128.and(i16x8.shr_u(l, 8), lowest));
    const c3 = v128.or(v128.and(i16x8.shr_u(h, 8), second), i16x8.shr_u(l, 12));
    const at = codes + (i << 2);
    sum = i32x4.add(sum, i32x4.add(i32x4.dot_i16x8_s(c0, v128.load(at)), i32x4.dot_i16x8_s(c1, v128.load(at, 16))));
    sum = i32x4.add(sum, i32x4.add(i32x4.dot_i16x8_s(c2, v128.load(at, 32)), i32x4.dot_i16x8_s(c3, v128.load(at, 48))));
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
