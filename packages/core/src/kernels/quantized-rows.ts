/** Quantized rows, dequantized one at a time in float64, from where `layout.ts` says that they lie. */

import { fromBfloat16 } from './bfloat16.ts';
import { CLASS_FACTOR_SCALE, FACTOR_SCALE } from './constants.ts';
import type { Pages } from './kernels.ts';
import { PAGE_KEYS, rotatedDim } from './layout.ts';
import { LEVELS } from './scan-basis.ts';
import { at, type Views } from './views.ts';

/** Address of a page's record, of the head of `pages`. */
export const recordAddress = ({ u32 }: Views, pages: Pages, page: number): number =>
  at(u32, pages.table / 4 + page) + pages.headOffset;

/** One key of a full page: the address of the page's record, and the index of the key in the page. */
export interface QuantizedKey {
  record: number;
  key: number;
  pages: Pages;
}

export const quantizedKey = (views: Views, pages: Pages, position: number): QuantizedKey => ({
  record: recordAddress(views, pages, Math.floor(position / PAGE_KEYS)),
  key: position % PAGE_KEYS,
  pages,
});

/** Bytes of a page's signs (4, D / 8, 16). */
export const signBytes = (dimensions: number): number => (PAGE_KEYS * dimensions) / 8;

/** Byte of the signs that holds dimension `i` of a key of the page; `i` % 8 is the bit. */
export const signByte = (dimensions: number, key: number, i: number): number =>
  Math.floor(key / 16) * dimensions * 2 + Math.floor(i / 8) * 16 + 2 * (key % 8) + (Math.floor(key / 8) % 2);

/** c (D), the page's centre. */
export function centreOf(views: Views, { record, pages }: QuantizedKey): Float64Array {
  const dimensions = rotatedDim(pages.headDim);
  const address = record + pages.sign + signBytes(dimensions) + PAGE_KEYS * 2;
  const step = at(views.f32, (address + dimensions) / 4);
  const data = bytes(views);
  return Float64Array.from({ length: dimensions }, (_, i) => toInt8(at(data, address + i)) * step);
}

/** The largest factor of the page. */
export function maxFactorOf({ f32 }: Views, { record, pages }: QuantizedKey): number {
  const dimensions = rotatedDim(pages.headDim);
  return at(f32, (record + pages.sign + signBytes(dimensions) + PAGE_KEYS * 2 + dimensions) / 4 + 1);
}

/** f sign y (D). */
export function signRow(views: Views, { record, key, pages }: QuantizedKey): Float64Array {
  const dimensions = rotatedDim(pages.headDim);
  const address = record + pages.sign;
  const parts = at(views.u16, (address + signBytes(dimensions)) / 2 + key);
  const factor = (parts / FACTOR_SCALE) * maxFactorOf(views, { record, key, pages });
  const signs = bytes(views);
  return Float64Array.from({ length: dimensions }, (_, i) => {
    const negative = (at(signs, address + signByte(dimensions, key, i)) >> (i % 8)) & 1;
    return negative ? -factor : factor;
  });
}

/** Whether the head has a basis: see `scan-basis.ts`. */
export const hasBasis = ({ i32 }: Views, { basis }: Pages): boolean => basis !== 0 && at(i32, basis / 4) !== 0;

/** f z' of both classes of a key of a head with a basis: (d / 4) and (d / 2). */
export function classCodes(views: Views, { record, key, pages }: QuantizedKey): [Float64Array, Float64Array] {
  const d = pages.headDim;
  const address = record + pages.sign;
  const codes = bytes(views);
  const factorOf = (part: 0 | 1) => {
    const parts = at(codes, address + signBytes(d) + part * PAGE_KEYS + key);
    const max = at(views.f32, (address + signBytes(d) + PAGE_KEYS * 2 + d) / 4 + 1 + part);
    return (parts / CLASS_FACTOR_SCALE) * max;
  };
  const [first, second] = [factorOf(0), factorOf(1)];
  const twoBits = Float64Array.from({ length: d / 4 }, (_, i) => {
    const byte = at(codes, address + signByte(d, key, 2 * (i - (i % 4))));
    const nibble = (i % 4 < 2 ? byte : byte >> 4) & 15;
    const level = LEVELS[(nibble >> (2 + (i % 2))) & 1] as number;
    return ((nibble >> (i % 2)) & 1 ? -level : level) * first;
  });
  const oneBit = Float64Array.from({ length: d / 2 }, (_, i) => {
    const byte = at(codes, address + signByte(d, key, d / 2 + i));
    return (byte >> (i % 8)) & 1 ? -second : second;
  });
  return [twoBits, oneBit];
}

/** y4, or R v in 4 bits (D). */
export function int4Row(views: Views, { record, key, pages }: QuantizedKey, what: 'key' | 'value'): Float64Array {
  const dimensions = rotatedDim(pages.headDim);
  const row = record + pages.int4 + key * dimensions + (what === 'key' ? 0 : dimensions / 2);
  const step = stepOf(views, { record, key, pages }, what);
  const data = bytes(views);
  return Float64Array.from({ length: dimensions }, (_, i) => (nibble(data, row, dimensions, i) - 7.5) * 16 * step);
}

/** y8, or R v in 8 bits (D): the upper four bits are those of int4, the lower four those of int8 or values. */
export function int8Row(
  views: Views,
  { record, key, pages }: QuantizedKey,
  what: 'key' | 'value' = 'key',
): Float64Array {
  const dimensions = rotatedDim(pages.headDim);
  const upperNibbles = record + pages.int4 + key * dimensions + (what === 'key' ? 0 : dimensions / 2);
  const lowerNibbles = record + (what === 'key' ? pages.int8 : pages.values) + (key * dimensions) / 2;
  const step = stepOf(views, { record, key, pages }, what);
  const data = bytes(views);
  return Float64Array.from({ length: dimensions }, (_, i) => {
    const code = (nibble(data, upperNibbles, dimensions, i) - 8) * 16 + nibble(data, lowerNibbles, dimensions, i);
    return (code + 0.5) * step;
  });
}

/** The row of a key or of a value in a full page of an int8 cache, c + y8 or z8, rotated (D). */
export function dequantizedRow(views: Views, key: QuantizedKey, what: 'key' | 'value'): Float64Array {
  const row = int8Row(views, key, what);
  if (what === 'value') return row;
  const centre = centreOf(views, key);
  return row.map((x, i) => x + at(centre, i));
}

/** y8 as the encoding `bounds` has it, and its bounds on ||y - y8|| and on ||y8||. */
export function boundedRow(
  views: Views,
  { record, key, pages }: QuantizedKey,
): { y8: Float64Array; error: number; length: number } {
  const dimensions = rotatedDim(pages.headDim);
  const rows = record + pages.bounds;
  const numberOf = (what: 0 | 1 | 2) =>
    fromBfloat16(at(views.u16, (rows + PAGE_KEYS * (dimensions + 2 * what)) / 2 + key));
  const data = bytes(views);
  const step = numberOf(0);
  const row = rows + key * dimensions;
  const y8 = Float64Array.from({ length: dimensions }, (_, i) => (toInt8(at(data, row + i)) + 0.5) * step);
  return { y8, error: numberOf(1), length: numberOf(2) };
}

/** Address of a key's error bound e, a bfloat16. */
export const errorBoundAddress = ({ record, key, pages }: QuantizedKey): number =>
  record + pages.int8 + (PAGE_KEYS * rotatedDim(pages.headDim)) / 2 + 2 * key;

/** A key's error bound e, at least ||y - y8||. */
export const errorBoundOf = ({ u16 }: Views, key: QuantizedKey): number =>
  fromBfloat16(at(u16, errorBoundAddress(key) / 2));

function stepOf(views: Views, { record, key, pages }: QuantizedKey, what: 'key' | 'value'): number {
  const steps = record + pages.int4 + PAGE_KEYS * rotatedDim(pages.headDim);
  return fromBfloat16(at(views.u16, steps / 2 + 2 * key + (what === 'key' ? 0 : 1)));
}

/** The 4 bits of dimension `i`, in a row of D / 2 bytes. */
function nibble(data: Uint8Array, row: number, dimensions: number, i: number): number {
  const half = dimensions / 2;
  const byte = at(data, row + (i % half));
  return i < half ? byte & 15 : byte >> 4;
}

/** A byte as a number from -128 to 127. */
const toInt8 = (byte: number): number => (byte << 24) >> 24;

export const bytes = ({ f32 }: Views): Uint8Array => new Uint8Array(f32.buffer);
