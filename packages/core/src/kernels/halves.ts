/** Rows of numbers as float16 times one factor, for state that is kept in little memory and read outside the kernels. */
import { float16ToFloat32, float32ToFloat16 } from './float16.ts';

/** Numbers in two bytes each: number i is factor times the float16 `bits[i]`. */
export interface Halves {
  factor: number;
  bits: Uint16Array;
}

/** Numbers rounded to float16, scaled so that the largest is near the end of its range. They must be finite. */
export function toHalves(numbers: Float64Array): Halves {
  let largest = 0;
  for (let i = 0; i < numbers.length; i++) largest = Math.max(largest, Math.abs(numbers[i] as number));
  // By a power of two, which changes no digit.
  const factor = largest === 0 ? 1 : 2 ** (Math.ceil(Math.log2(largest)) - 15);
  const bits = new Uint16Array(numbers.length);
  for (let i = 0; i < numbers.length; i++) bits[i] = float32ToFloat16((numbers[i] as number) / factor);
  return { factor, bits };
}

let table: Float32Array | undefined;

/** What the numbers stand for, into the first places of `target`. */
export function fromHalves({ factor, bits }: Halves, target: Float64Array): void {
  table ??= Float32Array.from({ length: 2 ** 16 }, (_, half) => float16ToFloat32(half));
  for (let i = 0; i < bits.length; i++) target[i] = factor * (table[bits[i] as number] as number);
}
