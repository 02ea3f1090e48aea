/** Random weights in any storage type: random bits, with half-precision scales of a sensible size. */
import type { GgmlType } from '../src/gguf/index.ts';
import { ggmlBlock, ggmlByteLength } from '../src/gguf/index.ts';
import type { WrittenTensor } from './gguf-writer.ts';
import type { Random } from './random.ts';

/** Where the blocks of a type hold 16-bit floats, and their exponents (in place) that suit weights. */
const floats: Partial<Record<GgmlType, { offsets: readonly number[]; exponent: number }>> = {
  BF16: { offsets: [0], exponent: 123 << 7 },
  F16: { offsets: [0], exponent: 10 << 10 },
  Q4_0: { offsets: [0], exponent: 7 << 10 },
  Q4_1: { offsets: [0, 2], exponent: 7 << 10 },
  Q5_0: { offsets: [0], exponent: 6 << 10 },
  Q5_1: { offsets: [0, 2], exponent: 6 << 10 },
  Q8_0: { offsets: [0], exponent: 3 << 10 },
  Q4_K: { offsets: [0, 2], exponent: 2 << 10 },
  Q5_K: { offsets: [0, 2], exponent: 1 << 10 },
  Q6_K: { offsets: [208], exponent: 0 << 10 },
  Q2_K: { offsets: [80, 82], exponent: 6 << 10 },
  Q3_K: { offsets: [108], exponent: 5 << 10 },
  IQ4_NL: { offsets: [0], exponent: 5 << 10 },
  IQ4_XS: { offsets: [0], exponent: 0 << 10 },
  TQ1_0: { offsets: [52], exponent: 11 << 10 },
  TQ2_0: { offsets: [64], exponent: 11 << 10 },
  IQ3_XXS: { offsets: [0], exponent: 3 << 10 },
  IQ3_S: { offsets: [0], exponent: 3 << 10 },
  IQ2_XXS: { offsets: [0], exponent: 4 << 10 },
  IQ2_XS: { offsets: [0], exponent: 4 << 10 },
  IQ2_S: { offsets: [0], exponent: 4 << 10 },
};

/** Bytes of a tensor of the type with weights of about .05. */
export function randomTensorBytes(random: Random, type: GgmlType, dimensions: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(ggmlByteLength(type, dimensions));
  const view = new DataView(bytes.buffer);
  if (type === 'F32') {
    for (let at = 0; at < bytes.length; at += 4) view.setFloat32(at, random.signed() * 0.08, true);
    return bytes;
  }
  for (let at = 0; at < bytes.length; at++) bytes[at] = random.integer(256);
  const { bytes: blockBytes } = ggmlBlock(type);
  const { offsets, exponent } = floats[type] ?? { offsets: [], exponent: 0 };
  for (let at = 0; at < bytes.length; at += blockBytes) {
    // Its scale is an exponent alone.
    if (type === 'MXFP4') bytes[at] = 121;
    for (const offset of offsets) {
      view.setUint16(at + offset, (random.integer(2) << 15) | exponent | random.integer(128), true);
    }
  }
  return bytes;
}

export function randomTensor(
  random: Random,
  name: string,
  type: GgmlType,
  dimensions: readonly number[],
): WrittenTensor & { data: Uint8Array; type: GgmlType } {
  return { name, type, dimensions, data: randomTensorBytes(random, type, dimensions) };
}
