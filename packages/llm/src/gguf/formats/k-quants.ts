/**
 * Readers of the k-quants with minima, Q4_K and Q5_K: blocks of 256 values whose parts have integer scales of their own
 * (`block_q4_K` ... in ggml-common.h; `dequantize_row_q4_K` ... in ggml-quants.c).
 */
import { float16ToFloat32 } from '../float16.ts';
import { uint16 } from './formats.ts';

/** Scale (6 bits) of part `part` of 8, from the 12 bytes at `at` that hold 8 scales and 8 minima. */
function scaleOf(bytes: Uint8Array, at: number, part: number): number {
  if (part < 4) return (bytes[at + part] as number) & 63;
  return ((bytes[at + part + 4] as number) & 15) | (((bytes[at + part - 4] as number) >> 6) << 4);
}

/** Minimum (6 bits) of part `part` of 8, likewise. */
function minimumOf(bytes: Uint8Array, at: number, part: number): number {
  if (part < 4) return (bytes[at + part + 4] as number) & 63;
  return ((bytes[at + part + 4] as number) >> 4) | (((bytes[at + part] as number) >> 6) << 4);
}

/** d (2), dmin (2), scales and minima (12), nibbles (128): d scale q - dmin minimum */
export function readQ4K(bytes: Uint8Array, blocks: number, values: Float32Array): void {
  for (let block = 0; block < blocks; block++) {
    const at = block * 144;
    const d = float16ToFloat32(uint16(bytes, at));
    const dmin = float16ToFloat32(uint16(bytes, at + 2));
    for (let part = 0; part < 8; part++) {
      const scale = d * scaleOf(bytes, at + 4, part);
      const minimum = dmin * minimumOf(bytes, at + 4, part);
      const nibbles = at + 16 + (part >> 1) * 32;
      const shift = (part & 1) * 4;
      for (let j = 0; j < 32; j++) {
        const q = ((bytes[nibbles + j] as number) >> shift) & 15;
        values[block * 256 + part * 32 + j] = scale * q - minimum;
      }
    }
  }
}

/** d (2), dmin (2), scales and minima (12), fifth bits (32), nibbles (128): d scale q - dmin minimum */
export function readQ5K(bytes: Uint8Array, blocks: number, values: Float32Array): void {
  for (let block = 0; block < blocks; block++) {
    const at = block * 176;
    const d = float16ToFloat32(uint16(bytes, at));
    const dmin = float16ToFloat32(uint16(bytes, at + 2));
    for (let part = 0; part < 8; part++) {
      const scale = d * scaleOf(bytes, at + 4, part);
      const minimum = dmin * minimumOf(bytes, at + 4, part);
      const nibbles = at + 48 + (part >> 1) * 32;
      const shift = (part & 1) * 4;
      for (let j = 0; j < 32; j++) {
        const fifth = ((bytes[at + 16 + j] as number) >> part) & 1;
        const q = (((bytes[nibbles + j] as number) >> shift) & 15) | (fifth << 4);
        values[block * 256 + part * 32 + j] = scale * q - minimum;
      }
    }
  }
}
