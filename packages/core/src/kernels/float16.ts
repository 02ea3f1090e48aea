/** Conversions of float16 (IEEE 754 binary16), one number at a time: the specification of the kernels' conversions. */

/** Largest finite float16. */
export const MAX_FLOAT16 = 65_504;

/** Value of a unit of the fraction, by the exponent. */
const FRACTION_UNITS = Float64Array.from({ length: 31 }, (_, exponent) => 2 ** (Math.max(exponent, 1) - 25));

/** The number that 16 bits stand for. */
export function float16ToFloat32(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent === 0 ? fraction : 1024 + fraction) * (FRACTION_UNITS[exponent] as number);
}

/** The 16 bits of the nearest float16, ties to even. Numbers that round beyond 65,504 become infinite. */
export function float32ToFloat16(x: number): number {
  if (Number.isNaN(x)) return 0x7e00;
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(x);
  if (magnitude < 2 ** -14) return sign | roundHalfEven(magnitude * 2 ** 24);
  if (magnitude >= 65_520) return sign | 0x7c00;
  const exponent = Math.floor(Math.log2(magnitude));
  // log2 may be off by one at powers of two.
  const e = magnitude < 2 ** exponent ? exponent - 1 : magnitude >= 2 ** (exponent + 1) ? exponent + 1 : exponent;
  // A fraction that rounds up to 1024 carries into the exponent, which is what IEEE asks.
  return sign | (((e + 15) << 10) + roundHalfEven((magnitude / 2 ** e - 1) * 1024));
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest > 0.5 || (rest === 0.5 && floor % 2 === 1)) return floor + 1;
  return floor;
}
