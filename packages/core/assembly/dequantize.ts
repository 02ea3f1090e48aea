/** Dequantizes int8 rows: codes times their step, and for keys the centre of their page. */
import { Pages } from './generated';
import { PAGE_KEYS, pageAddress } from './pages';
import { rotatedDim } from './rotate';
import { centreOffset } from './scan-parts';

/** See `QuantizedKernels.dequantizeRows`. `values` says which rows; `scratch` holds a centre (D). */
export function dequantizeRows(
  pages: Pages,
  values: bool,
  indices: usize,
  count: i32,
  destination: usize,
  scratch: usize,
): void {
  const table = pages.table;
  const headOffset = pages.headOffset;
  const d = pages.headDim;
  const sign = pages.sign;
  const upper = pages.int4;
  const lower = values ? pages.values : pages.int8;
  const D = rotatedDim(d);
  const half = <usize>D >> 1;
  let cachedPage = -1;
  if (values) memory.fill(scratch, 0, <usize>D << 2);
  for (let i = 0; i < count; i++) {
    const position = load<i32>(indices + (<usize>i << 2));
    const page = position / PAGE_KEYS;
    const key = <usize>(position & (PAGE_KEYS - 1));
    const record = pageAddress(table, headOffset, page);
    if (!values && page != cachedPage) {
      dequantizeCentre(record + sign + centreOffset(D), D, scratch);
      cachedPage = page;
    }
    const high = record + upper + key * <usize>D + (values ? half : 0);
    const low = record + lower + key * half;
    const steps = record + upper + <usize>(PAGE_KEYS * D) + (key << 2);
    const step = f32x4.splat(reinterpret<f32>(<u32>load<u16>(steps + (values ? 2 : 0)) << 16));
    for (let byte: usize = 0; byte < half; byte += 16) {
      const h = v128.load(high + byte);
      const l = v128.load(low + byte);
      const at = byte << 2;
      const first = v128.or(i8x16.shl(h, 4), v128.and(l, i8x16.splat(15)));
      dequantizeCodes(first, step, scratch + at, destination + at);
      const second = v128.or(v128.and(h, i8x16.splat(-16)), i8x16.shr_u(l, 4));
      dequantizeCodes(second, step, scratch + at + (half << 2), destination + at + (half << 2));
    }
    destination += <usize>D << 2;
  }
}

/** Dequantizes 16 codes, given plus 128, to the middle of their step plus the centre. */
@inline
function dequantizeCodes(codes: v128, step: v128, centre: usize, destination: usize): void {
  const low = i16x8.extend_low_i8x16_u(codes);
  const high = i16x8.extend_high_i8x16_u(codes);
  store4(i32x4.extend_low_i16x8_u(low), step, centre, destination);
  store4(i32x4.extend_high_i16x8_u(low), step, centre + 16, destination + 16);
  store4(i32x4.extend_low_i16x8_u(high), step, centre + 32, destination + 32);
  store4(i32x4.extend_high_i16x8_u(high), step, centre + 48, destination + 48);
}

@inline
function store4(codes: v128, step: v128, centre: usize, destination: usize): void {
  const inSteps = f32x4.sub(f32x4.convert_i32x4_s(codes), f32x4.splat(127.5));
  v128.store(destination, f32x4.add(f32x4.mul(inSteps, step), v128.load(centre)));
}

/** Dequantizes a page's centre (D). */
@inline
function dequantizeCentre(codes: usize, D: i32, destination: usize): void {
  const step = f32x4.splat(load<f32>(codes + <usize>D));
  for (let i: usize = 0; i < <usize>D; i += 4) {
    const four = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(codes + i)));
    v128.store(destination + (i << 2), f32x4.mul(f32x4.convert_i32x4_s(four), step));
  }
}
