/** Writes the encodings of a full page, each from its definition in `../layout.ts`. */

import { fromBfloat16, toBfloat16Ceil } from '../bfloat16.ts';
import { CLASS_FACTOR_SCALE, FACTOR_SCALE, MAX_QUANTIZABLE_EXPONENT } from '../constants.ts';
import { exactRow } from '../exact-rows.ts';
import type { Pages } from '../kernels.ts';
import { MIN_MAX_KEYS, PAGE_KEYS } from '../layout.ts';
import {
  boundedRow,
  bytes,
  centreOf,
  errorBoundAddress,
  errorBoundOf,
  hasBasis,
  int8Row,
  quantizedKey,
  recordAddress,
  signByte,
  signBytes,
} from '../quantized-rows.ts';
import { inverseRotate, rotate } from '../rotation.ts';
import { floatAbove, floatBelow } from '../rounding.ts';
import { classRows, LEVEL_THRESHOLD, LEVELS } from '../scan-basis.ts';
import { at, type Views } from '../views.ts';
import { norm } from './rows.ts';

const MAX_MAGNITUDE = 2 ** MAX_QUANTIZABLE_EXPONENT;

/** Rounding error of R k - c - y8 in float64, relative to k and c: a chain of 20 additions, and a root. */
const ROUNDING = 2 ** -46;

/** Rows of a page: keys and values (64, d). */
interface PageRows {
  keys: Float64Array[];
  values: Float64Array[];
}

/** See `QuantizedKernels.quantizePage`. */
export function quantizePage(views: Views, pages: Pages, page: number): boolean {
  const read = (what: 'keys' | 'values') =>
    Array.from({ length: PAGE_KEYS }, (_, i) => exactRow(views, pages, what, page * PAGE_KEYS + i));
  const rows = { keys: read('keys'), values: read('values') };
  if ([...rows.keys, ...rows.values].some((row) => row.some((x) => !(Math.abs(x) <= MAX_MAGNITUDE)))) return false;

  const record = recordAddress(views, pages, page);
  if (pages.sign !== 0) {
    writeCentre(views, pages, page, rotate(mean(rows.keys)));
    const centre = centreOf(views, quantizedKey(views, pages, page * PAGE_KEYS));
    const residuals = rows.keys.map((key) => rotate(key).map((x, i) => x - at(centre, i)));
    const [factors, secondFactors]: [number[], number[]] = [[], []];
    const usesBasis = hasBasis(views, pages);
    for (const [key, y] of residuals.entries()) {
      if (usesBasis) writeClasses(views, pages, record, key, inverseRotate(y, pages.headDim), factors, secondFactors);
      else factors.push(writeSigns(views, record + pages.sign, key, y));
      if (pages.bounds !== 0) writeBounds(views, pages, page * PAGE_KEYS + key, y, centre);
      if (pages.int4 === 0) continue;
      const lower = pages.int8 === 0 ? undefined : record + pages.int8 + (key * y.length) / 2;
      writeQuantized(views, pages, record, key, 'key', y, lower);
      const lowerValue = pages.values === 0 ? undefined : record + pages.values + (key * y.length) / 2;
      writeQuantized(views, pages, record, key, 'value', rotate(rows.values[key] as Float64Array), lowerValue);
      if (lower !== undefined) writeErrorBound(views, pages, page * PAGE_KEYS + key, y, centre);
    }
    if (usesBasis) writeClassFactors(views, record + pages.sign, centre.length, [factors, secondFactors]);
    else writeFactors(views, record + pages.sign, centre.length, factors);
  }
  if (pages.summary !== 0) writeSummary(views, record + pages.summary, rows);
  if (pages.minMax !== 0) writeMinMax(views, record + pages.minMax, rows.keys, errorBoundsOf(views, pages, page));
  return true;
}

/** Writes c as int8 codes (D) and their step. */
function writeCentre(views: Views, pages: Pages, page: number, centre: Float64Array): void {
  const dimensions = centre.length;
  const address = recordAddress(views, pages, page) + pages.sign + signBytes(dimensions) + PAGE_KEYS * 2;
  const step = Math.fround(maxAbs(centre) / 127);
  for (const [i, x] of centre.entries()) {
    // The step is rounded, which for subnormal floats may push a code out of its byte.
    bytes(views)[address + i] = step === 0 ? 0 : Math.max(-127, Math.min(127, Math.round(x / step)));
  }
  views.f32[(address + dimensions) / 4] = step;
}

/** Writes the signs of y as those of dimensions `from` on, of rows of `dimensions`; returns f = ||y||^2 / ||y||_1. */
function writeSigns(
  views: Views,
  address: number,
  key: number,
  y: Float64Array,
  dimensions = y.length,
  from = 0,
): number {
  let sum = 0;
  for (let first = 0; first < y.length; first += 8) {
    let byte = 0;
    for (let bit = 0; bit < 8; bit++) {
      const x = at(y, first + bit);
      if (x < 0) byte |= 1 << bit;
      sum += Math.abs(x);
    }
    bytes(views)[address + signByte(dimensions, key, from + first)] = byte;
  }
  return sum === 0 ? 0 : norm(y) ** 2 / sum;
}

/** Writes the codes of both classes of y (d), and appends their factors ||z||^2 / <z, z'>. */
function writeClasses(
  views: Views,
  pages: Pages,
  record: number,
  key: number,
  y: Float64Array,
  factors: number[],
  secondFactors: number[],
): void {
  const d = y.length;
  const address = record + pages.sign;
  const [first, second] = classRows(views, pages.basis, y, 'key');
  const threshold = (LEVEL_THRESHOLD * norm(first)) / Math.sqrt(first.length);
  let product = 0;
  for (let i = 0; i < first.length; i += 4) {
    let byte = 0;
    for (let j = 0; j < 4; j++) {
      const x = at(first, i + j);
      const large = Math.abs(x) > threshold;
      const bit = (j < 2 ? 0 : 4) + (j % 2);
      if (x < 0) byte |= 1 << bit;
      if (large) byte |= 4 << bit;
      product += Math.abs(x) * LEVELS[large ? 1 : 0];
    }
    bytes(views)[address + signByte(d, key, 2 * i)] = byte;
  }
  factors.push(product === 0 ? 0 : norm(first) ** 2 / product);
  secondFactors.push(writeSigns(views, address, key, second, d, d / 2));
}

/** Writes the factors of both classes, each in parts of its largest, and the largest. */
function writeClassFactors(views: Views, address: number, d: number, factors: [number[], number[]]): void {
  for (const [part, list] of factors.entries()) {
    const maxFactor = Math.fround(Math.max(...list));
    const parts = list.map((factor) => (maxFactor === 0 ? 0 : Math.round((factor / maxFactor) * CLASS_FACTOR_SCALE)));
    bytes(views).set(parts, address + signBytes(d) + part * PAGE_KEYS);
    views.f32[(address + signBytes(d) + PAGE_KEYS * 2 + d) / 4 + 1 + part] = maxFactor;
  }
}

/** Writes the factors of a page in parts of the largest, and the largest. */
function writeFactors(views: Views, address: number, dimensions: number, factors: readonly number[]): void {
  const maxFactor = floatAbove(Math.max(...factors));
  const parts = factors.map((factor) => (maxFactor === 0 ? 0 : Math.ceil((factor / maxFactor) * FACTOR_SCALE)));
  views.u16.set(parts, (address + signBytes(dimensions)) / 2);
  views.f32[(address + signBytes(dimensions) + PAGE_KEYS * 2 + dimensions) / 4 + 1] = maxFactor;
}

/** Codes of a row, from -128 to 127, and their step, a bfloat16: (code + 1/2) step is near each number. */
function quantizeInt8(x: Float64Array): { step: number; codes: number[] } {
  const step = fromBfloat16(toBfloat16Ceil(maxAbs(x) / 128));
  const codes = Array.from(x, (number) => (step === 0 ? 0 : Math.max(-128, Math.min(127, Math.floor(number / step)))));
  return { step, codes };
}

/** Writes int8 codes of y or of R v (D): upper halves and step to int4, lower halves to `lower` if there is one. */
function writeQuantized(
  views: Views,
  pages: Pages,
  record: number,
  key: number,
  what: 'key' | 'value',
  x: Float64Array,
  lower?: number,
): void {
  const dimensions = x.length;
  const half = dimensions / 2;
  const upper = record + pages.int4 + key * dimensions + (what === 'key' ? 0 : half);
  const steps = record + pages.int4 + PAGE_KEYS * dimensions;
  const { step, codes } = quantizeInt8(x);
  views.u16[steps / 2 + 2 * key + (what === 'key' ? 0 : 1)] = toBfloat16Ceil(step);
  for (let i = 0; i < half; i++) {
    const [a, b] = [at(codes, i), at(codes, half + i)];
    bytes(views)[upper + i] = ((a >> 4) + 8) | (((b >> 4) + 8) << 4);
    if (lower !== undefined) bytes(views)[lower + i] = (a & 15) | ((b & 15) << 4);
  }
}

/** Writes y8, and bounds on its error and on its length. */
function writeBounds(views: Views, pages: Pages, position: number, y: Float64Array, centre: Float64Array): void {
  const quantized = quantizedKey(views, pages, position);
  const { key, record } = quantized;
  const rows = record + pages.bounds;
  const { step, codes } = quantizeInt8(y);
  bytes(views).set(codes, rows + key * y.length);
  const numbers = (rows + PAGE_KEYS * y.length) / 2 + key;
  views.u16[numbers] = toBfloat16Ceil(step);
  const { y8 } = boundedRow(views, quantized);
  views.u16[numbers + PAGE_KEYS] = toBfloat16Ceil(errorBound(views, pages, position, y, y8, centre));
  views.u16[numbers + 2 * PAGE_KEYS] = toBfloat16Ceil(norm(y8) * (1 + ROUNDING));
}

/** Writes the error bound e >= ||R k - c - y8|| of a key in 8 bits. */
function writeErrorBound(views: Views, pages: Pages, position: number, y: Float64Array, centre: Float64Array): void {
  const quantized = quantizedKey(views, pages, position);
  const error = errorBound(views, pages, position, y, int8Row(views, quantized), centre);
  views.u16[errorBoundAddress(quantized) / 2] = toBfloat16Ceil(error);
}

/** A bound on ||R k - c - y8||, given y, which is rounded. */
function errorBound(
  views: Views,
  pages: Pages,
  position: number,
  y: Float64Array,
  y8: Float64Array,
  centre: Float64Array,
): number {
  const error = norm(y.map((x, i) => x - at(y8, i)));
  return error + ROUNDING * (norm(exactRow(views, pages, 'keys', position)) + norm(centre) + norm(y8));
}

/** Writes the mean key (d), the mean value (d), and the radius of the values around the stored mean. */
function writeSummary({ f32 }: Views, address: number, { keys, values }: PageRows): void {
  const meanValue = Float32Array.from(mean(values));
  const headDim = meanValue.length;
  f32.set(mean(keys), address / 4);
  f32.set(meanValue, address / 4 + headDim);
  const distances = values.map((value) => norm(value.map((x, i) => x - at(meanValue, i))));
  f32[address / 4 + 2 * headDim] = floatAbove(Math.max(...distances) * (1 + ROUNDING));
}

/**
 * Bounds on how far a number of each key may move once the page is full: 0 where exact rows stay, else the bound on the
 * quantization error, which holds in any basis.
 */
function errorBoundsOf(views: Views, pages: Pages, page: number): number[] {
  const first = page * PAGE_KEYS;
  const errorBoundAt = (key: number) =>
    pages.storedPrecision === 'int8' ? errorBoundOf(views, quantizedKey(views, pages, first + key)) : 0;
  return Array.from({ length: PAGE_KEYS }, (_, key) => errorBoundAt(key));
}

/** Writes the minima, then the maxima (d) of every 16 keys, widened by `errorBounds` (64). */
function writeMinMax(
  { f32 }: Views,
  address: number,
  keys: readonly Float64Array[],
  errorBounds: readonly number[],
): void {
  for (let block = 0; block < PAGE_KEYS / MIN_MAX_KEYS; block++) {
    const blockKeys = keys.slice(block * MIN_MAX_KEYS, (block + 1) * MIN_MAX_KEYS);
    const maxError = Math.max(...errorBounds.slice(block * MIN_MAX_KEYS, (block + 1) * MIN_MAX_KEYS));
    const [first, ...others] = blockKeys as [Float64Array, ...Float64Array[]];
    const min = others.reduce((edge, key) => edge.map((x, i) => Math.min(x, at(key, i))), first);
    const max = others.reduce((edge, key) => edge.map((x, i) => Math.max(x, at(key, i))), first);
    f32.set(
      Float32Array.from(min, (x) => floatBelow(x - maxError)),
      address / 4 + 2 * block * first.length,
    );
    f32.set(
      Float32Array.from(max, (x) => floatAbove(x + maxError)),
      address / 4 + (2 * block + 1) * first.length,
    );
  }
}

function mean(rows: readonly Float64Array[]): Float64Array {
  const sum = new Float64Array(rows[0]?.length ?? 0);
  for (const row of rows) for (const [i, x] of row.entries()) sum[i] = at(sum, i) + x;
  return sum.map((x) => x / rows.length);
}

const maxAbs = (row: Float64Array): number => row.reduce((runningMax, x) => Math.max(runningMax, Math.abs(x)), 0);
