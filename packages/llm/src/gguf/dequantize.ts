/**
 * The values of a tensor as float32, exactly as ggml's reference `dequantize_row_*` gives them (ggml-quants.c).
 * The formats' own arithmetic lies in formats/; this file chooses among them and checks sizes.
 */
import { llmError } from '../errors.ts';
import { readBf16, readF16, readF32 } from './formats/floats.ts';
import type { BlockReader } from './formats/formats.ts';
import { readQ4K, readQ5K } from './formats/k-quants.ts';
import { readQ4_1, readQ5_1 } from './formats/legacy-quants.ts';
import { readQ2K } from './formats/low-bit.ts';
import { type BlockLayout, ZERO_OF_BITS } from './formats/quantized.ts';
import { blockLayout, quantizedTypes, readQuantizedBlocks } from './quantized-blocks.ts';
import type { GgmlType } from './types.ts';
import { ggmlBlock } from './types.ts';

const readers: Partial<Record<GgmlType, BlockReader>> = {
  F32: readF32,
  F16: readF16,
  BF16: readBf16,
  // Types with offsets: the offset of a block is rounded to float32, so their values are read without it.
  Q4_1: readQ4_1,
  Q5_1: readQ5_1,
  Q2_K: readQ2K,
  Q4_K: readQ4K,
  Q5_K: readQ5K,
};

/** The types that `dequantize` knows. */
export const dequantizableTypes: readonly GgmlType[] = [
  ...new Set([...(Object.keys(readers) as GgmlType[]), ...quantizedTypes]),
];

/**
 * The values of whole blocks of a type, in the order of the file, as float32.
 * Throws `unsupported-tensor-type` for a type that has no reader here and `invalid-argument` for part of a block.
 */
export function dequantize(type: GgmlType, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const read = readers[type];
  const layout = blockLayout(type);
  if (read === undefined && layout === undefined) {
    throw llmError({
      code: 'unsupported-tensor-type',
      problem: 'Tensors of this storage type cannot be read.',
      found: type,
      remedy: `Use a file of one of these types: ${dequantizableTypes.join(', ')}.`,
    });
  }
  const block = ggmlBlock(type);
  if (bytes.length % block.bytes !== 0) {
    throw llmError({
      code: 'invalid-argument',
      problem: `The bytes are not whole blocks of ${type}.`,
      found: `${bytes.length} bytes`,
      remedy: `Give a multiple of ${block.bytes} bytes.`,
    });
  }
  const blocks = bytes.length / block.bytes;
  if (read === undefined) return valuesOfBlocks(type, bytes, layout as BlockLayout);
  const values = new Float32Array(blocks * block.elements);
  read(bytes, blocks, values);
  return values;
}

/** scale * (quantized - zero), which float32 holds or rounds once. */
function valuesOfBlocks(type: GgmlType, bytes: Uint8Array, { bits, blockSize }: BlockLayout) {
  const { quantized, scales } = readQuantizedBlocks(type, bytes);
  const zero = ZERO_OF_BITS[bits];
  const values = new Float32Array(quantized.length);
  for (let block = 0; block < scales.length; block++) {
    const scale = scales[block] as number;
    for (let i = block * blockSize; i < (block + 1) * blockSize; i++)
      values[i] = scale * ((quantized[i] as number) - zero);
  }
  return values;
}
