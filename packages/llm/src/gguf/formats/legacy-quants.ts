/**
 * Readers of the formats with blocks of 32 values and one scale: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0
 * (`block_q4_0` ... in ggml-common.h). d and m are half-precision; nibble j of a 4- or 5-bit block belongs to value j
 * (low) and value j + 16 (high).
 */
import { float16ToFloat32 } from '../float16.ts';
import { uint16 } from './formats.ts';

/** d (2 bytes), nibbles (16): d (q - 8) */
export function readQ4_0(bytes: Uint8Array, blocks: number, values: Float32Array): void {
  for (let block = 0; block < blocks; block++) {
    const at = block * 18;
    const d = float16ToFloat32(uint16(bytes, at));
    for (let j = 0; j < 16; j++) {
      const pair = bytes[at + 2 + j] as number;
      values[block * 32 + j] = d * ((pair & 15) - 8);
      values[block * 32 + j + 16] = d * ((pair >> 4) - 8);
    }
  }
}

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

/** d (2), fifth bits (4), nibbles (16): d (q - 16) */
export function readQ5_0(bytes: Uint8Array, blocks: number, values: Float32Array): void {
  for (let block = 0; block < blocks; block++) {
    const at = block * 22;
    const d = float16ToFloat32(uint16(bytes, at));
    const fifth = uint16(bytes, at + 2) | (uint16(bytes, at + 4) << 16);
    for (let j = 0; j < 16; j++) {
      const pair = bytes[at + 6 + j] as number;
      values[block * 32 + j] = d * (((pair & 15) | (((fifth >>> j) & 1) << 4)) - 16);
      values[block * 32 + j + 16] = d * (((pair >> 4) | (((fifth >>> (j + 16)) & 1) << 4)) - 16);
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

/** d (2), signed bytes (32): d q */
export function readQ8_0(bytes: Uint8Array, blocks: number, values: Float32Array): void {
  const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let block = 0; block < blocks; block++) {
    const at = block * 34;
    const d = float16ToFloat32(uint16(bytes, at));
    for (let j = 0; j < 32; j++) values[block * 32 + j] = d * (signed[at + 2 + j] as number);
  }
}
