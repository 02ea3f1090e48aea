/**
 * Rotated rows in 8-bit codes, one scale a row: weight = scale * (code - 128). Activations are rounded in the same way,
 * so that a product is a sum of products of bytes. Both are bytes without a sign: where the processor has no
 * instruction for such sums, ONNX Runtime adds products of signed ones in 16 bits, which saturate without a word.
 */
import { rotate, rotatedPart } from './rotation.ts';

/** The code of 0. */
export const ZERO_CODE = 128;
/** Codes differ from that of 0 by so much, at most. */
export const LARGEST_CODE = 127;

/** Codes (values) and scales (rows) of rows of `rowLength` values, which are rotated in place. */
export function encodeRowCodes(values: Float32Array, rowLength: number): { codes: Uint8Array; scales: Float32Array } {
  rotate(values, rotatedPart(rowLength));
  const codes = new Uint8Array(values.length);
  const scales = new Float32Array(values.length / rowLength);
  for (const row of scales.keys()) {
    const from = row * rowLength;
    const largest = values.subarray(from, from + rowLength).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    const scale = largest / LARGEST_CODE || 1;
    scales[row] = scale;
    for (let i = from; i < from + rowLength; i++) codes[i] = ZERO_CODE + Math.round((values[i] as number) / scale);
  }
  return { codes, scales };
}
