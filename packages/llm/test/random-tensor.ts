/** Random weights in any storage type: random bits, with half-precision scales of a sensible size. */
import type { GgmlType } from '../src/gguf/index.ts';
import { ggmlBlock, ggmlByteLength } from '../src/gguf/index.ts';
import type { WrittenTensor } from './gguf-writer.ts';
import type { Random } from './random.ts';

/** Where the blocks of a type hold half-precision numbers, and the exponents (biased) that suit weights. */
const halves: Partial<Record<GgmlType, { offsets: readonly number[]; exponent: number }>> = {
  F16: { offsets: [0], exponent: 10 },
  Q4_0: { offsets: [0], exponent: 7 },
  Q4_1: { offsets: [0, 2], exponent: 7 },
  Q5_0: { offsets: [0], exponent: 6 },
  Q5_1: { offsets: [0, 2], exponent: 6 },
  Q8_0: { offsets: [0], exponent: 3 },
  Q4_K: { offsets: [0, 2], exponent: 2 },
  Q5_K: { offsets: [0, 2], exponent: 1 },
  Q6_K: { offsets: [208], exponent: 0 },
};

/** Bytes of a tensor of the type with weights of about .05. */
export function randomTensorBytes(random: Random, type: GgmlType, dimensions: readonly number[]): Uint8Array {
  const bytes = Uint8Array.from({ length: ggmlByteLength(type, dimensions) }, () => random.integer(256));
  const view = new DataView(bytes.buffer);
  const { bytes: blockBytes } = ggmlBlock(type);
  for (let at = 0; at < bytes.length; at += blockBytes) {
    if (type === 'F32') view.setFloat32(at, random.signed() * 0.08, true);
    else if (type === 'BF16') view.setUint16(at, (random.integer(2) << 15) | (123 << 7) | random.integer(128), true);
    else {
      const { offsets, exponent } = halves[type] as { offsets: readonly number[]; exponent: number };
      for (const offset of offsets) {
        const bits = (random.integer(2) << 15) | (exponent << 10) | random.integer(1024);
        view.setUint16(at + offset, bits, true);
      }
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
