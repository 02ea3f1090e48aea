/**
 * The numbers of a draw. Consecutive multiples of the golden ratio, u = frac((i + 1) phi), are spread as evenly as can
 * be over (0, 1), and so are those of any stretch of them; P of them serve all keys, round and round, from another one
 * on at every turn. -log2 u is kept as a whole number, so that the probability with which a key is drawn is a count of
 * them, exactly.
 */

/** P, a power of two. */
export const DRAW_PERIOD = 16_384;
/** Binary digits of the numbers behind the point. */
export const DRAW_FRACTION_BITS = 7;
/** From one turn to the next every key's number moves on by so many, an odd number: in P turns it has had them all. */
export const DRAW_STRIDE = 12_367;
/** Behind the numbers lie the first of them again, for vectors that begin before the end. */
const WRAP_PADDING = 8;
/** Logarithms of probabilities in the tables. */
const LOG_ENTRIES = 2048;

/** Bytes of the tables: numbers (P + 8) of int16, then logarithms (2,048) of float32. */
export const DRAW_TABLE_BYTES = (DRAW_PERIOD + WRAP_PADDING) * 2 + LOG_ENTRIES * 4;

/** floor(-log2 u 2^7) of number i. */
export function drawNumber(i: number): number {
  const u = ((Math.imul(i + 1, 0x9e3779b1) >>> 0) + 0.5) / 2 ** 32;
  return Math.floor(-Math.log2(u) * 2 ** DRAW_FRACTION_BITS);
}

interface DrawTables {
  /** -log2 u in units of 2^-7: (P) */
  numbers: Int16Array;
  /** ln of the share of the numbers that are at least x: (2,048) */
  logs: Float32Array;
}

let tables: DrawTables | undefined;

/** The tables, made once. */
export function drawTables(): DrawTables {
  if (tables !== undefined) return tables;
  const numbers = Int16Array.from({ length: DRAW_PERIOD }, (_, i) => drawNumber(i));
  const counts = new Float64Array(LOG_ENTRIES + 1);
  for (const number of numbers) counts[number] = (counts[number] as number) + 1;
  for (let x = LOG_ENTRIES - 1; x >= 0; x--) counts[x] = (counts[x] as number) + (counts[x + 1] as number);
  const logs = Float32Array.from({ length: LOG_ENTRIES }, (_, x) => Math.log((counts[x] as number) / DRAW_PERIOD));
  tables = { numbers, logs };
  return tables;
}

/** Writes the tables to where the kernels look for them. */
export function writeDrawTables(buffer: ArrayBufferLike, address: number): void {
  const { numbers, logs } = drawTables();
  const target = new Int16Array(buffer, address, DRAW_PERIOD + WRAP_PADDING);
  target.set(numbers);
  target.set(numbers.subarray(0, WRAP_PADDING), DRAW_PERIOD);
  new Float32Array(buffer, address + target.byteLength, LOG_ENTRIES).set(logs);
}
