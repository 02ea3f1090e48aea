/**
 * Readers of the formats with blocks of 32 values, one scale and one minimum: Q4_1, Q5_1 (`block_q4_1` ... in
 * ggml-common.h). d and m are half-precision; nibble j of a 4- or 5-bit block belongs to value j
 * (low) and value j + 16 (high).
 */
import { float16ToFloat32 } from '../float16.ts';
import { uint16 } from './formats.ts';

/** d (2), m (2), nibbles (16): d q + m */
export function readQ4_1(bytes: Uint8Array, blocks: number, values: Float32Array): void {
  for (let block = 0; block < blocks; block++) {
    const at = block * 20;
    const d = float16ToFloat32(uint16(bytes, at));
    const m = float16ToFloat32(uint16(bytes, at + 2));
    for (let j = 0; j < 16; j++) {
      const pair = bytes[at + 4 + j] as number;
      values[block * 32 + j] = d * (pair & 15) + m;
      values[block * 32 + j + 16] = d * (pair >> 4) + m;
    }
  }
}

/** d (2), m (2), fifth bits (4), nibbles (16): d q + m */
export function readQ5_1(bytes: Uint8Array, blocks: number, values: Float32Array): void {
  for (let block = 0; block < blocks; block++) {
    const at = block * 24;
    const d = float16ToFloat32(uint16(bytes, at));
    const m = float16ToFloat32(uint16(bytes, at + 2));
    const fifth = uint16(bytes, at + 4) | (uint16(bytes, at + 6) << 16);
    for (let j = 0; j < 16; j++) {
      const pair = bytes[at + 8 + j] as number;
      values[block * 32 + j] = d * ((pair & 15) | (((fifth >>> j) & 1) << 4)) + m;
      values[block * 32 + j + 16] = d * ((pair >> 4) | (((fifth >>> (j + 16)) & 1) << 4)) + m;
    }
  }
}
