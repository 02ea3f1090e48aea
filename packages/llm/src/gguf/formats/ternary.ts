/** Readers of the ternary types TQ1_0 and TQ2_0: 256 values of -1, 0 or 1 and one scale (`block_tq1_0`, `block_tq2_0`). */
import { float16ToFloat32 } from '../float16.ts';
import { uint16 } from './formats.ts';
import { type BlockLayout, type QuantizedBlocks, type QuantizedFormat, ZERO_OF_BITS } from './quantized.ts';

const layout: BlockLayout = { bits: 4, blockSize: 32, hasOffsets: false };

/** The scale of a block, at `at`, for each of its parts of 32 values. */
function fillScales(bytes: Uint8Array, at: number, block: number, { scales }: QuantizedBlocks): void {
  scales.fill(float16ToFloat32(uint16(bytes, at)), block * 8, block * 8 + 8);
}

/** five values a byte (48 bytes) and four a byte (4), as digits of base 3 of a fraction of 256; d (2): d (q - 1) */
export const tq1: QuantizedFormat = {
  layout,
  read(bytes, blocks, target) {
    const { quantized } = target;
    const digit = (byte: number, place: number) => (((byte * 3 ** place) & 255) * 3) >> 8;
    for (let block = 0; block < blocks; block++) {
      const at = block * 54;
      fillScales(bytes, at + 52, block, target);
      let next = block * 256;
      for (const [from, count, digits] of [
        [0, 32, 5],
        [32, 16, 5],
        [48, 4, 4],
      ] as const) {
        for (let place = 0; place < digits; place++) {
          for (let j = 0; j < count; j++) {
            quantized[next++] = digit(bytes[at + from + j] as number, place) - 1 + ZERO_OF_BITS[4];
          }
        }
      }
    }
  },
};

/** pairs of bits (64 bytes), four values a byte, 32 apart; d (2): d (q - 1) */
export const tq2: QuantizedFormat = {
  layout,
  read(bytes, blocks, target) {
    const { quantized } = target;
    for (let block = 0; block < blocks; block++) {
      const at = block * 66;
      fillScales(bytes, at + 64, block, target);
      for (let i = 0; i < 256; i++) {
        const pair = ((bytes[at + (i >> 7) * 32 + (i & 31)] as number) >> (((i >> 5) & 3) * 2)) & 3;
        quantized[block * 256 + i] = pair - 1 + ZERO_OF_BITS[4];
      }
    }
  },
};
