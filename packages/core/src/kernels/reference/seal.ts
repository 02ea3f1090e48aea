/** Writes the planes of a full page: every plane from its definition in `../layout.ts`, one after the other. */
import type { Pages } from '../kernels.ts';
import { BOX_KEYS, PAGE_KEYS } from '../layout.ts';
import { fromUpper16, toUpper16 } from '../upper16.ts';
import type { Views } from '../views.ts';
import { boundAddress, boundOf, bytes, centreOf, codedKey, FACTOR_PARTS, row8, signByte, signBytes } from './codes.ts';
import { exactRow } from './exact-rows.ts';
import { rotated } from './rotation.ts';
import { floatAbove, floatBelow } from './rounding.ts';
import { at, norm, recordAddress } from './rows.ts';

/** Numbers up to this one can be sealed: squares and sums of what comes of them stay far from where they overflow. */
const LARGEST = 2 ** 96;

/** What R k - c - y8 may be off by in float64, relative to k and c: 20 additions one after the other, and a root. */
const ROUNDING = 2 ** -46;

/** Rows of a page: keys and values (64, d). */
interface PageRows {
  keys: Float64Array[];
  values: Float64Array[];
}

/** See `CodeKernels.seal`. */
export function sealPage(views: Views, pages: Pages, page: number): boolean {
  const read = (what: 'keys' | 'values') =>
    Array.from({ length: PAGE_KEYS }, (_, i) => exactRow(views, pages, what, page * PAGE_KEYS + i));
  const rows = { keys: read('keys'), values: read('values') };
  if ([...rows.keys, ...rows.values].some((row) => row.some((x) => !(Math.abs(x) <= LARGEST)))) return false;

  const record = recordAddress(views, pages, page);
  if (pages.sign !== 0) {
    writeCentre(views, pages, page, rotated(mean(rows.keys)));
    const centre = centreOf(views, codedKey(views, pages, page * PAGE_KEYS));
    const residuals = rows.keys.map((key) => rotated(key).map((x, i) => x - at(centre, i)));
    const factors: number[] = [];
    for (const [key, y] of residuals.entries()) {
      factors.push(writeSigns(views, record + pages.sign, key, y));
      if (pages.int4 === 0) continue;
      const lower = pages.int8 === 0 ? undefined : record + pages.int8 + (key * y.length) / 2;
      writeCodes(views, pages, record, key, 'key', y, lower);
      const lowerValue = pages.values === 0 ? undefined : record + pages.values + (key * y.length) / 2;
      writeCodes(views, pages, record, key, 'value', rotated(rows.values[key] as Float64Array), lowerValue);
      if (lower !== undefined) writeBound(views, pages, page * PAGE_KEYS + key, y, centre);
    }
    writeFactors(views, record + pages.sign, centre.length, factors);
  }
  if (pages.summary !== 0) writeSummary(views, record + pages.summary, rows);
  if (pages.boxes !== 0) writeBoxes(views, record + pages.boxes, rows.keys, lossOf(views, pages, page));
  return true;
}

/** c as int8 codes (D) and their step. */
function writeCentre(views: Views, pages: Pages, page: number, centre: Float64Array): void {
  const dimensions = centre.length;
  const address = recordAddress(views, pages, page) + pages.sign + signBytes(dimensions) + PAGE_KEYS * 2;
  const step = Math.fround(largestOf(centre) / 127);
  for (const [i, x] of centre.entries()) {
    // A step that is rounded down far, as the smallest floats are, must not push a code out of its byte.
    bytes(views)[address + i] = step === 0 ? 0 : Math.max(-127, Math.min(127, Math.round(x / step)));
  }
  views.f32[(address + dimensions) / 4] = step;
}

/** The signs of y. Returns f = ||y||^2 / ||y||_1. */
function writeSigns(views: Views, address: number, key: number, y: Float64Array): number {
  let sum = 0;
  for (let first = 0; first < y.length; first += 8) {
    let byte = 0;
    for (let bit = 0; bit < 8; bit++) {
      const x = at(y, first + bit);
      if (x < 0) byte |= 1 << bit;
      sum += Math.abs(x);
    }
    bytes(views)[address + signByte(y.length, key, first)] = byte;
  }
  return sum === 0 ? 0 : norm(y) ** 2 / sum;
}

/** The factors of a page in parts of the largest, and that. */
function writeFactors(views: Views, address: number, dimensions: number, factors: readonly number[]): void {
  const largest = floatAbove(Math.max(...factors));
  const parts = factors.map((factor) => (largest === 0 ? 0 : Math.ceil((factor / largest) * FACTOR_PARTS)));
  views.u16.set(parts, (address + signBytes(dimensions)) / 2);
  views.f32[(address + signBytes(dimensions) + PAGE_KEYS * 2 + dimensions) / 4 + 1] = largest;
}

/** The int8 codes of y or of R v (D): the upper halves in int4, with their step, and the lower halves at `lower`. */
function writeCodes(
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
  const stored = toUpper16(largestOf(x) / 128);
  views.u16[steps / 2 + 2 * key + (what === 'key' ? 0 : 1)] = stored;
  const step = fromUpper16(stored);
  const codes = Array.from(x, (number) => (step === 0 ? 0 : Math.max(-128, Math.min(127, Math.floor(number / step)))));
  for (let i = 0; i < half; i++) {
    const [a, b] = [at(codes, i), at(codes, half + i)];
    bytes(views)[upper + i] = ((a >> 4) + 8) | (((b >> 4) + 8) << 4);
    if (lower !== undefined) bytes(views)[lower + i] = (a & 15) | ((b & 15) << 4);
  }
}

/** e: no less than ||R k - c - y8||, of y that is rounded. */
function writeBound(views: Views, pages: Pages, position: number, y: Float64Array, centre: Float64Array): void {
  const coded = codedKey(views, pages, position);
  const y8 = row8(views, coded);
  const error = norm(y.map((x, i) => x - at(y8, i)));
  const rounding = ROUNDING * (norm(exactRow(views, pages, 'keys', position)) + norm(centre) + norm(y8));
  views.u16[boundAddress(coded) / 2] = toUpper16(error + rounding);
}

/** Mean key (d), mean value (d), and the radius of the values round their mean, as it is stored. */
function writeSummary({ f32 }: Views, address: number, { keys, values }: PageRows): void {
  const meanValue = Float32Array.from(mean(values));
  const headDim = meanValue.length;
  f32.set(mean(keys), address / 4);
  f32.set(meanValue, address / 4 + headDim);
  const distances = values.map((value) => norm(value.map((x, i) => x - at(meanValue, i))));
  f32[address / 4 + 2 * headDim] = floatAbove(Math.max(...distances) * (1 + ROUNDING));
}

/**
 * How far a number of each key of a page may move when the page is kept by its codes: not at all where the rows stay,
 * else by the bound on the codes' error, in whatever basis.
 */
function lossOf(views: Views, pages: Pages, page: number): number[] {
  const first = page * PAGE_KEYS;
  const moved = (key: number) => (pages.kept === 'int8' ? boundOf(views, codedKey(views, pages, first + key)) : 0);
  return Array.from({ length: PAGE_KEYS }, (_, key) => moved(key));
}

/** The smallest, then the largest numbers (d) of every 16 keys, as they may be once they have moved by `losses` (64). */
function writeBoxes({ f32 }: Views, address: number, keys: readonly Float64Array[], losses: readonly number[]): void {
  for (let box = 0; box < PAGE_KEYS / BOX_KEYS; box++) {
    const inside = keys.slice(box * BOX_KEYS, (box + 1) * BOX_KEYS);
    const loss = Math.max(...losses.slice(box * BOX_KEYS, (box + 1) * BOX_KEYS));
    const [first, ...others] = inside as [Float64Array, ...Float64Array[]];
    const smallest = others.reduce((edge, key) => edge.map((x, i) => Math.min(x, at(key, i))), first);
    const largest = others.reduce((edge, key) => edge.map((x, i) => Math.max(x, at(key, i))), first);
    f32.set(
      Float32Array.from(smallest, (x) => floatBelow(x - loss)),
      address / 4 + 2 * box * first.length,
    );
    f32.set(
      Float32Array.from(largest, (x) => floatAbove(x + loss)),
      address / 4 + (2 * box + 1) * first.length,
    );
  }
}

function mean(rows: readonly Float64Array[]): Float64Array {
  const sum = new Float64Array(rows[0]?.length ?? 0);
  for (const row of rows) for (const [i, x] of row.entries()) sum[i] = at(sum, i) + x;
  return sum.map((x) => x / rows.length);
}

const largestOf = (row: Float64Array): number => row.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
