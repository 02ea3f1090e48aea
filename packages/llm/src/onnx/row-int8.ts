/**
 * Rotated rows in 8-bit codes, one scale a row: weight = scale * (code - zero). Activations are rounded in the same way,
 * to unsigned bytes, so that a product is a sum of products of bytes. Which weights are to be multiplied by depends on
 * the processor: see `byte-products.ts`.
 */

import { hadamardSize, rotate } from './rotation.ts';
import type { Int8Signedness } from './weight-encoding.ts';

/** The code of 0. */
export const ZERO_POINT: Readonly<Record<Int8Signedness, number>> = { signed: 0, unsigned: 128 };
/** Codes differ from that of 0 by so much, at most. */
export const MAX_INT8 = 127;

/** Codes (values) and scales (rows) of rows of `rowLength` values, which are rotated in place. Signed ones are in two's complement. */
export function quantizeRows(
  values: Float32Array,
  rowLength: number,
  signedness: Int8Signedness,
): { quantized: Uint8Array; scales: Float32Array } {
  rotate(values, hadamardSize(rowLength));
  const zeroPoint = ZERO_POINT[signedness];
  const quantized = new Uint8Array(values.length);
  const scales = new Float32Array(values.length / rowLength);
  for (const row of scales.keys()) {
    const from = row * rowLength;
    const maxAbs = values.subarray(from, from + rowLength).reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    const scale = maxAbs / MAX_INT8 || 1;
    scales[row] = scale;
    for (let i = from; i < from + rowLength; i++) quantized[i] = zeroPoint + Math.round((values[i] as number) / scale);
  }
  return { quantized, scales };
}
