/**
 * Reads the quantized storage types as small integers with scales and offsets. Nothing is rounded but what float32 rounds: a
 * 5-bit value is an 8-bit value, and a type whose weights are d q + m has the offset m + 8 d (4 bits).
 * Layouts: `block_*` of ggml-common.h.
 */
import { llmError } from '../errors.ts';
import { float16Table } from './float16.ts';
import { uint16 } from './formats/formats.ts';
import { iq2s, iq2xs, iq2xxs, iq3s, iq3xxs } from './formats/grid-coded.ts';
import { q2K, q3K } from './formats/low-bit.ts';
import type { BlockLayout, QuantizedBlocks, QuantizedFormat, ScaleFactors } from './formats/quantized.ts';
import { iq4nl, iq4xs, mxfp4 } from './formats/tabled.ts';
import { tq1, tq2 } from './formats/ternary.ts';
import { type GgmlType, ggmlBlock } from './types.ts';

/** Blocks of 32 values with one scale, or 16 of Q6_K. */
const layout = (bits: 4 | 8, factors: ScaleFactors, blockSize: 16 | 32 = 32): BlockLayout => ({
  bits,
  blockSize,
  hasOffsets: factors.minima !== undefined,
  factors,
});
/** A float16 for each block, and where blocks have minima, one for that. */
const single = (middle?: number): ScaleFactors => ({
  blocks: 1,
  at: 0,
  ...(middle !== undefined && { minima: { at: 2, middle } }),
});
const eight = (middle: number): ScaleFactors => ({ blocks: 8, at: 0, minima: { at: 2, middle } });

const formats: Partial<Record<GgmlType, QuantizedFormat>> = {
  Q4_0: { layout: layout(4, single()), read: nibbleReader({ fifthBits: false, minimum: false }) },
  Q4_1: { layout: layout(4, single(8)), read: nibbleReader({ fifthBits: false, minimum: true }) },
  Q5_0: { layout: layout(8, single()), read: nibbleReader({ fifthBits: true, minimum: false }) },
  Q5_1: { layout: layout(8, single(16)), read: nibbleReader({ fifthBits: true, minimum: true }) },
  Q8_0: { layout: layout(8, single()), read: readQ8_0 },
  Q2_K: q2K,
  Q3_K: q3K,
  Q4_K: { layout: layout(4, eight(8)), read: (bytes, blocks, target) => readQ45K(bytes, blocks, target, false) },
  Q5_K: { layout: layout(8, eight(16)), read: (bytes, blocks, target) => readQ45K(bytes, blocks, target, true) },
  Q6_K: { layout: layout(8, { blocks: 16, at: 208 }, 16), read: readQ6K },
  IQ4_NL: iq4nl,
  IQ4_XS: iq4xs,
  MXFP4: mxfp4,
  TQ1_0: tq1,
  TQ2_0: tq2,
  IQ3_XXS: iq3xxs,
  IQ3_S: iq3s,
  IQ2_XXS: iq2xxs,
  IQ2_XS: iq2xs,
  IQ2_S: iq2s,
};

/** The quantized types that can be read. */
export const quantizedTypes = Object.keys(formats) as readonly GgmlType[];

/** How a type's values are cut into blocks; undefined for types that are not quantized or cannot be read. */
export function blockLayout(type: GgmlType): BlockLayout | undefined {
  return formats[type]?.layout;
}

/** Reads whole blocks of a quantized type. Throws `unsupported-tensor-type`. */
export function readQuantizedBlocks(type: GgmlType, bytes: Uint8Array): QuantizedBlocks {
  const format = formats[type];
  if (format === undefined) {
    throw llmError({
      code: 'unsupported-tensor-type',
      problem: 'Tensors of this storage type cannot be read as quantized blocks.',
      found: type,
      remedy: `Use one of ${quantizedTypes.join(', ')}.`,
    });
  }
  const { elements, bytes: blockBytes } = ggmlBlock(type);
  const blocks = bytes.length / blockBytes;
  const { blockSize, hasOffsets, factors } = format.layout;
  const hasCodes = hasOffsets && factors !== undefined && factors.blocks > 1;
  const scaleCount = (blocks * elements) / blockSize;
  const target = {
    quantized: new Uint8Array(blocks * elements),
    scales: new Float32Array(scaleCount),
    offsets: new Float32Array(hasOffsets ? scaleCount : 0),
    minima: new Uint8Array(hasCodes ? scaleCount : 0),
  };
  format.read(bytes, blocks, target);
  return target;
}

/**
 * Q4_0, Q4_1, Q5_0, Q5_1: d (2), m (2, where there is a minimum), fifth bits (4, where there are), nibbles (16). A
 * weight is d q + m, or, without a minimum, d (q - half the range).
 */
function nibbleReader(parts: { fifthBits: boolean; minimum: boolean }): QuantizedFormat['read'] {
  return (bytes, blocks, target) => readNibbles(bytes, blocks, target, parts);
}

function readNibbles(
  bytes: Uint8Array,
  blocks: number,
  { quantized, scales, offsets }: QuantizedBlocks,
  { fifthBits, minimum }: { fifthBits: boolean; minimum: boolean },
): void {
  const float16 = float16Table();
  const nibblesAt = 2 + (minimum ? 2 : 0) + (fifthBits ? 4 : 0);
  const blockBytes = nibblesAt + 16;
  const middle = fifthBits ? 16 : 8; // of the range of q
  const shift = (fifthBits ? 128 : 8) - middle; // from q to what is stored
  for (let block = 0; block < blocks; block++) {
    const at = block * blockBytes;
    const d = float16[uint16(bytes, at)] as number;
    const fifth = fifthBits ? uint16(bytes, at + nibblesAt - 4) | (uint16(bytes, at + nibblesAt - 2) << 16) : 0;
    scales[block] = d;
    if (minimum) offsets[block] = (float16[uint16(bytes, at + 2)] as number) + middle * d;
    for (let j = 0; j < 16; j++) {
      const pair = bytes[at + nibblesAt + j] as number;
      quantized[block * 32 + j] = ((pair & 15) | (((fifth >>> j) & 1) << 4)) + shift;
      quantized[block * 32 + 16 + j] = ((pair >> 4) | (((fifth >>> (j + 16)) & 1) << 4)) + shift;
    }
  }
}

/** d (2), signed bytes (32): d q */
function readQ8_0(bytes: Uint8Array, blocks: number, { quantized, scales }: QuantizedBlocks): void {
  const float16 = float16Table();
  for (let block = 0; block < blocks; block++) {
    const at = block * 34;
    scales[block] = float16[uint16(bytes, at)] as number;
    for (let j = 0; j < 32; j++) quantized[block * 32 + j] = (bytes[at + 2 + j] as number) ^ 128;
  }
}

/**
 * Q4_K, Q5_K: d (2), dmin (2), scales and minima of 8 parts (12), fifth bits (32, Q5_K), nibbles (128). A weight of a
 * part is (d scale) q - dmin minimum, so each part is a block of its own.
 */
function readQ45K(
  bytes: Uint8Array,
  blocks: number,
  { quantized, scales, offsets, minima }: QuantizedBlocks,
  fifthBits: boolean,
): void {
  const float16 = float16Table();
  const nibblesAt = fifthBits ? 48 : 16;
  const blockBytes = nibblesAt + 128;
  const middle = fifthBits ? 16 : 8;
  const shift = (fifthBits ? 128 : 8) - middle;
  for (let block = 0; block < blocks; block++) {
    const at = block * blockBytes;
    const d = float16[uint16(bytes, at)] as number;
    const dmin = float16[uint16(bytes, at + 2)] as number;
    for (let part = 0; part < 8; part++) {
      const { scale, minimum } = scaleAndMinimum(bytes, at + 4, part);
      const to = block * 8 + part;
      scales[to] = d * scale;
      minima[to] = minimum;
      offsets[to] = middle * d * scale - dmin * minimum;
      const nibbles = at + nibblesAt + (part >> 1) * 32;
      const nibbleShift = (part & 1) * 4;
      for (let j = 0; j < 32; j++) {
        const fifth = fifthBits ? ((bytes[at + 16 + j] as number) >> part) & 1 : 0;
        quantized[to * 32 + j] = ((((bytes[nibbles + j] as number) >> nibbleShift) & 15) | (fifth << 4)) + shift;
      }
    }
  }
}

/** 6 bits each of part `part`, of the 12 bytes at `at` that hold 8 scales and 8 minima. */
function scaleAndMinimum(bytes: Uint8Array, at: number, part: number): { scale: number; minimum: number } {
  const byte = (index: number) => bytes[at + index] as number;
  if (part < 4) return { scale: byte(part) & 63, minimum: byte(part + 4) & 63 };
  return {
    scale: (byte(part + 4) & 15) | ((byte(part - 4) >> 6) << 4),
    minimum: (byte(part + 4) >> 4) | ((byte(part) >> 6) << 4),
  };
}

/**
 * Q6_K: lower nibbles (128), upper pairs of bits (64), signed scales (16), d (2). A weight is (d scale) (q - 32), with
 * a scale for each 16 values.
 */
function readQ6K(bytes: Uint8Array, blocks: number, { quantized, scales }: QuantizedBlocks): void {
  const float16 = float16Table();
  for (let block = 0; block < blocks; block++) {
    const at = block * 210;
    const d = float16[uint16(bytes, at + 208)] as number;
    for (let i = 0; i < 16; i++) {
      const scale = ((bytes[at + 192 + i] as number) << 24) >> 24;
      scales[block * 16 + i] = d * scale;
    }
    for (let part = 0; part < 8; part++) {
      const half = part >> 2; // values 0..127 or 128..255
      const quarter = part & 3; // 32 values each
      const lower = at + half * 64 + (quarter & 1) * 32;
      const upper = at + 128 + half * 32;
      for (let j = 0; j < 32; j++) {
        const nibble = ((bytes[lower + j] as number) >> ((quarter >> 1) * 4)) & 15;
        const pair = ((bytes[upper + j] as number) >> (quarter * 2)) & 3;
        quantized[block * 256 + part * 32 + j] = (nibble | (pair << 4)) - 32 + 128;
      }
    }
  }
}
