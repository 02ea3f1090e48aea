/**
 * Rotated rows in 8-bit codes, one scale a row: weight = scale * (code - zero). Activations are rounded in the same way,
 * to unsigned bytes, so that a product is a sum of products of bytes. Which weights are to be multiplied by depends on
 * the processor: see `byte-products.ts`.
 */
import type { ByteCodes } from './matrix-form.ts';
import { rotate, rotatedPart } from './rotation.ts';

/** The code of 0. */
export const zeroCode: Readonly<Record<ByteCodes, number>> = { signed: 0, unsigned: 128 };
/** Codes differ from that of 0 by so much, at most. */
export const LARGEST_CODE = 127;

/** Codes (values) and scales (rows) of rows of `rowLength` values, which are rotated in place. Signed ones are in two's complement. */
export function encodeRowCodes(
  values: Float32Array,
  rowLength: number,
  kind: ByteCodes,
): { codes: Uint8Array; scales: Float32Array } {
  rotate(values, rotatedPart(rowLength));
  const zero = zeroCode[kind];
  const codes = new Uint8Array(values.length);
  const scales = new Float32Array(values.length / rowLength);
  for (const row of scales.keys()) {
    const from = row * rowLength;
    const largest = values.subarray(from, from + rowLength).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    const scale = largest / LARGEST_CODE || 1;
    scales[row] = scale;
    for (let i = from; i < from + rowLength; i++) codes[i] = zero + Math.round((values[i] as number) / scale);
  }
  return { codes, scales };
}
