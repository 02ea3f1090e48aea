/**
 * Readers of the types whose 4 bits are numbers of values in a table: IQ4_NL, IQ4_XS and MXFP4 (`block_iq4_nl` ... in
 * ggml-common.h; OCP Microscaling Formats 1.0).
 */
import { float16ToFloat32 } from '../float16.ts';
import { uint16 } from './formats.ts';
import { type BlockLayout, type QuantizedFormat, ZERO_OF_BITS } from './quantized.ts';

const layout: BlockLayout = { bits: 8, blockSize: 32, hasOffsets: false };

/** `kvalues_iq4nl` */
const IQ4_VALUES = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
/** Twice the values of E2M1. */
const E2M1_VALUES = Int8Array.of(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);

/** 32 values from the 16 bytes at `at`: lower nibbles, then upper ones. */
function readTabled(bytes: Uint8Array, at: number, table: Int8Array, quantized: Uint8Array, to: number): void {
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + j] as number;
    quantized[to + j] = (table[pair & 15] as number) + ZERO_OF_BITS[8];
    quantized[to + 16 + j] = (table[pair >> 4] as number) + ZERO_OF_BITS[8];
  }
}

/** d (2), nibbles (16): d table[q] */
export const iq4nl: QuantizedFormat = {
  layout: { ...layout, factors: { blocks: 1, at: 0 } },
  read(bytes, blocks, { quantized, scales }) {
    for (let block = 0; block < blocks; block++) {
      scales[block] = float16ToFloat32(uint16(bytes, block * 18));
      readTabled(bytes, block * 18 + 2, IQ4_VALUES, quantized, block * 32);
    }
  },
};

/** d (2), upper bits of 8 scales (2), lower ones (4), nibbles (128): d (scale - 32) table[q] */
export const iq4xs: QuantizedFormat = {
  layout: { ...layout, factors: { blocks: 8, at: 0 } },
  read(bytes, blocks, { quantized, scales }) {
    for (let block = 0; block < blocks; block++) {
      const at = block * 136;
      const d = float16ToFloat32(uint16(bytes, at));
      const upperBits = uint16(bytes, at + 2);
      for (let part = 0; part < 8; part++) {
        const lower = ((bytes[at + 4 + (part >> 1)] as number) >> ((part & 1) * 4)) & 15;
        const upper = (upperBits >> (part * 2)) & 3;
        scales[block * 8 + part] = d * ((lower | (upper << 4)) - 32);
        readTabled(bytes, at + 8 + part * 16, IQ4_VALUES, quantized, block * 256 + part * 32);
      }
    }
  },
};

/** exponent (1), nibbles (16): 2^(exponent - 128) table[q] */
export const mxfp4: QuantizedFormat = {
  layout,
  read(bytes, blocks, { quantized, scales }) {
    for (let block = 0; block < blocks; block++) {
      scales[block] = 2 ** ((bytes[block * 17] as number) - 128);
      readTabled(bytes, block * 17 + 1, E2M1_VALUES, quantized, block * 32);
    }
  },
};
