/**
 * Readers of IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS and IQ3_S: 256 values in groups whose magnitudes are rows of a grid, with a
 * sign for each value (`block_iq2_xxs` ... in ggml-common.h).
 */
import { float16ToFloat32 } from '../float16.ts';
import { uint16 } from './formats.ts';
import { iq2sGrid, iq2xsGrid, iq2xxsGrid, iq3sGrid, iq3xxsGrid } from './grids.ts';
import { type QuantizedFormat, ZERO_OF_BITS } from './quantized.ts';

const uint32 = (bytes: Uint8Array, at: number) => (uint16(bytes, at) | (uint16(bytes, at + 2) << 16)) >>> 0;

/** Eight signs from seven bits: the eighth makes the number of minus signs even. */
function evenSigns(bits: number): number {
  let parity = bits;
  for (const shift of [4, 2, 1]) parity ^= parity >> shift;
  return bits | ((parity & 1) << 7);
}

/** Writes a row of a grid; bit k of `signs` is set where value k is negative. */
function writeRow(grid: Uint8Array, row: number, width: 4 | 8, signs: number, quantized: Uint8Array, to: number): void {
  for (let k = 0; k < width; k++) {
    const magnitude = grid[row * width + k] as number;
    quantized[to + k] = ZERO_OF_BITS[8] + ((signs >> k) & 1 ? -magnitude : magnitude);
  }
}

/** Four bits of number `i` of those at `at`. */
const nibble = (bytes: Uint8Array, at: number, i: number) => ((bytes[at + (i >> 1)] as number) >> ((i & 1) * 4)) & 15;

/** d (2), then for each 32 values: rows (4), signs and scale (4, the scale on top): d (scale + 1/2) / 4 */
export const iq2xxs: QuantizedFormat = {
  layout: { bits: 8, blockSize: 32, hasOffsets: false },
  read(bytes, blocks, { quantized, scales }) {
    const grid = iq2xxsGrid();
    for (let block = 0; block < blocks; block++) {
      const at = block * 66;
      const d = float16ToFloat32(uint16(bytes, at));
      for (let part = 0; part < 8; part++) {
        const from = at + 2 + part * 8;
        const packed = uint32(bytes, from + 4);
        scales[block * 8 + part] = d * ((packed >>> 28) + 0.5) * 0.25;
        for (let row = 0; row < 4; row++) {
          const signs = evenSigns((packed >>> (7 * row)) & 127);
          writeRow(grid, bytes[from + row] as number, 8, signs, quantized, block * 256 + part * 32 + row * 8);
        }
      }
    }
  },
};

/** d (2), rows and signs (64: 9 bits, 7 bits), scales (8, 4 bits for each 16 values): d (scale + 1/2) / 4 */
export const iq2xs: QuantizedFormat = {
  layout: { bits: 8, blockSize: 16, hasOffsets: false },
  read(bytes, blocks, { quantized, scales }) {
    const grid = iq2xsGrid();
    for (let block = 0; block < blocks; block++) {
      const at = block * 74;
      const d = float16ToFloat32(uint16(bytes, at));
      for (let i = 0; i < 16; i++) scales[block * 16 + i] = d * (nibble(bytes, at + 66, i) + 0.5) * 0.25;
      for (let row = 0; row < 32; row++) {
        const packed = uint16(bytes, at + 2 + row * 2);
        writeRow(grid, packed & 511, 8, evenSigns(packed >> 9), quantized, block * 256 + row * 8);
      }
    }
  },
};

/** d (2), rows (32), signs (32), upper bits of rows (8), scales (8): d (scale + 1/2) / 4 */
export const iq2s: QuantizedFormat = {
  layout: { bits: 8, blockSize: 16, hasOffsets: false },
  read(bytes, blocks, { quantized, scales }) {
    const grid = iq2sGrid();
    for (let block = 0; block < blocks; block++) {
      const at = block * 82;
      const d = float16ToFloat32(uint16(bytes, at));
      for (let i = 0; i < 16; i++) scales[block * 16 + i] = d * (nibble(bytes, at + 74, i) + 0.5) * 0.25;
      for (let row = 0; row < 32; row++) {
        const upper = ((bytes[at + 66 + (row >> 2)] as number) >> ((row & 3) * 2)) & 3;
        const index = (bytes[at + 2 + row] as number) | (upper << 8);
        writeRow(grid, index, 8, bytes[at + 34 + row] as number, quantized, block * 256 + row * 8);
      }
    }
  },
};

/** d (2), rows (64), signs and scales (32, a scale on top for each 32 values): d (scale + 1/2) / 2 */
export const iq3xxs: QuantizedFormat = {
  layout: { bits: 8, blockSize: 32, hasOffsets: false },
  read(bytes, blocks, { quantized, scales }) {
    const grid = iq3xxsGrid();
    for (let block = 0; block < blocks; block++) {
      const at = block * 98;
      const d = float16ToFloat32(uint16(bytes, at));
      for (let part = 0; part < 8; part++) {
        const packed = uint32(bytes, at + 66 + part * 4);
        scales[block * 8 + part] = d * ((packed >>> 28) + 0.5) * 0.5;
        for (let row = 0; row < 8; row++) {
          const signs = evenSigns((packed >>> (7 * (row >> 1))) & 127) >> ((row & 1) * 4);
          const index = bytes[at + 2 + part * 8 + row] as number;
          writeRow(grid, index, 4, signs, quantized, block * 256 + part * 32 + row * 4);
        }
      }
    }
  },
};

/** d (2), rows (64), upper bits of rows (8), signs (32), scales (4, 4 bits for each 32 values): d (2 scale + 1) */
export const iq3s: QuantizedFormat = {
  layout: { bits: 8, blockSize: 32, hasOffsets: false },
  read(bytes, blocks, { quantized, scales }) {
    const grid = iq3sGrid();
    for (let block = 0; block < blocks; block++) {
      const at = block * 110;
      const d = float16ToFloat32(uint16(bytes, at));
      for (let part = 0; part < 8; part++) scales[block * 8 + part] = d * (2 * nibble(bytes, at + 106, part) + 1);
      for (let row = 0; row < 64; row++) {
        const upper = ((bytes[at + 66 + (row >> 3)] as number) >> (row & 7)) & 1;
        const index = (bytes[at + 2 + row] as number) | (upper << 8);
        const signs = (bytes[at + 74 + (row >> 1)] as number) >> ((row & 1) * 4);
        writeRow(grid, index, 4, signs, quantized, block * 256 + row * 4);
      }
    }
  },
};
