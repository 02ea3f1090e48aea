/**
 * The draws of Poisson sampling, as tables. Consecutive multiples of the golden ratio, u_i = frac((i + 1) phi), are a
 * low-discrepancy sequence: any run of them covers (0, 1) evenly. DRAW_PERIOD of them serve all keys cyclically, and
 * the seed says which one comes first. -log2 u is stored as an integer, so that the probability of drawing a key is a
 * count of table entries, exactly.
 */

import { DRAW_FRACTION_BITS, DRAW_LOG_ENTRIES, DRAW_PERIOD, DRAW_WRAP } from './constants.ts';

/**
 * Bytes of the tables: draws (DRAW_PERIOD + DRAW_WRAP) of int16, then log-probabilities (DRAW_LOG_ENTRIES) of float32.
 */
export const DRAW_TABLE_BYTES = (DRAW_PERIOD + DRAW_WRAP) * 2 + DRAW_LOG_ENTRIES * 4;

/** floor(-log2(u_i) 2^DRAW_FRACTION_BITS), the draw number i. */
export function drawNumber(i: number): number {
  const u = ((Math.imul(i + 1, 0x9e3779b1) >>> 0) + 0.5) / 2 ** 32;
  return Math.floor(-Math.log2(u) * 2 ** DRAW_FRACTION_BITS);
}

interface DrawTables {
  /** -log2 u in units of 2^-DRAW_FRACTION_BITS: (DRAW_PERIOD) */
  numbers: Int16Array;
  /** Entry x is ln of the fraction of draws that are at least x: (DRAW_LOG_ENTRIES) */
  logs: Float32Array;
}

let tables: DrawTables | undefined;

/** The tables, computed once a process. */
export function drawTables(): DrawTables {
  if (tables !== undefined) return tables;
  const numbers = Int16Array.from({ length: DRAW_PERIOD }, (_, i) => drawNumber(i));
  const counts = new Float64Array(DRAW_LOG_ENTRIES + 1);
  for (const number of numbers) counts[number] = (counts[number] as number) + 1;
  for (let x = DRAW_LOG_ENTRIES - 1; x >= 0; x--) counts[x] = (counts[x] as number) + (counts[x + 1] as number);
  const logs = Float32Array.from({ length: DRAW_LOG_ENTRIES }, (_, x) => Math.log((counts[x] as number) / DRAW_PERIOD));
  tables = { numbers, logs };
  return tables;
}

/** Writes the tables (DRAW_TABLE_BYTES) to an address, as `drawKeys` reads them. */
export function writeDrawTables(buffer: ArrayBufferLike, address: number): void {
  const { numbers, logs } = drawTables();
  const target = new Int16Array(buffer, address, DRAW_PERIOD + DRAW_WRAP);
  target.set(numbers);
  target.set(numbers.subarray(0, DRAW_WRAP), DRAW_PERIOD);
  new Float32Array(buffer, address + target.byteLength, DRAW_LOG_ENTRIES).set(logs);
}
