/**
 * Half-precision numbers by a table of all of them, written from the standard (IEEE 754 binary16) and independent of
 * the conversions in src: rounding is a search for the nearest entry.
 */

/** Bits of the half infinity; below it, the magnitudes of the finite halves count up with their bits. */
export const FLOAT16_INFINITY = 0x7c00;

/** The number that each of the 65,536 halves stands for. */
export const FLOAT16_VALUES: Float64Array = Float64Array.from({ length: 65_536 }, (_, bits) => {
  const sign = bits >= 0x8000 ? -1 : 1;
  const exponent = Math.floor((bits % 0x8000) / 1024);
  const fraction = (bits % 1024) / 1024;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * 2 ** -14 * fraction : sign * 2 ** (exponent - 15) * (1 + fraction);
});

/** Bits of the half nearest to a finite x, of two that are as near the even one; infinite from 65,520 on. */
export function nearestFloat16(x: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(x);
  let low = 0;
  let high = FLOAT16_INFINITY;
  // HALVES[low] <= magnitude < HALVES[high]
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((FLOAT16_VALUES[middle] as number) <= magnitude) low = middle;
    else high = middle;
  }
  // Past the largest half the next would be 65,536, which is not finite.
  const above = high === FLOAT16_INFINITY ? 65_536 : (FLOAT16_VALUES[high] as number);
  const toLow = magnitude - (FLOAT16_VALUES[low] as number);
  const toHigh = above - magnitude;
  return sign | (toLow < toHigh || (toLow === toHigh && low % 2 === 0) ? low : high);
}

/** The numbers, each rounded to a half. */
export const roundToFloat16 = (numbers: Float32Array): Float32Array =>
  numbers.map((x) => FLOAT16_VALUES[nearestFloat16(x)] as number);
