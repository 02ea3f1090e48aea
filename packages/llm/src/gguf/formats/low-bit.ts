/** Readers of Q2_K and Q3_K: 256 values, a scale for each 16 of them (`block_q2_K`, `block_q3_K` in ggml-common.h). */
import { float16ToFloat32 } from '../float16.ts';
import { uint16 } from './formats.ts';
import { type QuantizedFormat, ZERO_OF_BITS } from './quantized.ts';

/** Two bits of value `i` of 256, from the 64 bytes at `at`: four values a byte, 32 apart. */
function twoBits(bytes: Uint8Array, at: number, i: number): number {
  return ((bytes[at + (i >> 7) * 32 + (i & 31)] as number) >> (((i >> 5) & 3) * 2)) & 3;
}

/** scales and minima (16 bytes, 4 bits each), pairs of bits (64), d (2), dmin (2): d scale q - dmin minimum */
export const q2K: QuantizedFormat = {
  layout: {
    bits: 4,
    blockSize: 16,
    hasOffsets: true,
    factors: { blocks: 16, at: 80, minima: { at: 82, middle: 2 } },
  },
  read(bytes, blocks, { quantized, scales, offsets, minima }) {
    // The middle of the range of q.
    const middle = 2;
    for (let block = 0; block < blocks; block++) {
      const at = block * 84;
      const d = float16ToFloat32(uint16(bytes, at + 80));
      const dmin = float16ToFloat32(uint16(bytes, at + 82));
      for (let part = 0; part < 16; part++) {
        const pair = bytes[at + part] as number;
        scales[block * 16 + part] = d * (pair & 15);
        minima[block * 16 + part] = pair >> 4;
        offsets[block * 16 + part] = middle * d * (pair & 15) - dmin * (pair >> 4);
      }
      for (let i = 0; i < 256; i++) {
        quantized[block * 256 + i] = twoBits(bytes, at + 16, i) - middle + ZERO_OF_BITS[4];
      }
    }
  },
};

/** The values of Q2_K in double precision, rounded once. */
export function readQ2K(bytes: Uint8Array, blocks: number, values: Float32Array): void {
  for (let block = 0; block < blocks; block++) {
    const at = block * 84;
    const d = float16ToFloat32(uint16(bytes, at + 80));
    const dmin = float16ToFloat32(uint16(bytes, at + 82));
    for (let i = 0; i < 256; i++) {
      const pair = bytes[at + (i >> 4)] as number;
      values[block * 256 + i] = d * (pair & 15) * twoBits(bytes, at + 16, i) - dmin * (pair >> 4);
    }
  }
}

/** third bits (32 bytes), pairs of bits (64), scales (12, 6 bits each), d (2): d (scale - 32) (q - 4) */
export const q3K: QuantizedFormat = {
  layout: { bits: 4, blockSize: 16, hasOffsets: false, factors: { blocks: 16, at: 108 } },
  read(bytes, blocks, { quantized, scales }) {
    for (let block = 0; block < blocks; block++) {
      const at = block * 110;
      const d = float16ToFloat32(uint16(bytes, at + 108));
      for (let part = 0; part < 16; part++) {
        const lower = ((bytes[at + 96 + (part & 7)] as number) >> ((part >> 3) * 4)) & 15;
        const upper = ((bytes[at + 104 + (part & 3)] as number) >> ((part >> 2) * 2)) & 3;
        scales[block * 16 + part] = d * ((lower | (upper << 4)) - 32);
      }
      for (let i = 0; i < 256; i++) {
        const third = ((bytes[at + (i & 31)] as number) >> (i >> 5)) & 1;
        quantized[block * 256 + i] = (twoBits(bytes, at + 32, i) | (third << 2)) - 4 + ZERO_OF_BITS[4];
      }
    }
  },
};
