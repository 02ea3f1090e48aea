/**
 * The values of a tensor as float32, exactly as ggml's reference `dequantize_row_*` gives them (ggml-quants.c).
 * The formats' own arithmetic lies in formats/; this file chooses among them and checks sizes.
 */
import { llmError } from '../errors.ts';
import { readBf16, readF16, readF32 } from './formats/floats.ts';
import type { BlockReader } from './formats/formats.ts';
import { readQ4K, readQ5K, readQ6K } from './formats/k-quants.ts';
import { readQ4_0, readQ4_1, readQ5_0, readQ5_1, readQ8_0 } from './formats/legacy-quants.ts';
import type { GgmlType } from './types.ts';
import { ggmlBlock } from './types.ts';

const readers: Partial<Record<GgmlType, BlockReader>> = {
  F32: readF32,
  F16: readF16,
  BF16: readBf16,
  Q4_0: readQ4_0,
  Q4_1: readQ4_1,
  Q5_0: readQ5_0,
  Q5_1: readQ5_1,
  Q8_0: readQ8_0,
  Q4_K: readQ4K,
  Q5_K: readQ5K,
  Q6_K: readQ6K,
};

/** The types that `dequantize` knows. */
export const dequantizableTypes = Object.keys(readers) as readonly GgmlType[];

/**
 * The values of whole blocks of a type, in the order of the file, as float32.
 * Throws `unsupported-tensor-type` for a type that has no reader here and `invalid-argument` for part of a block.
 */
export function dequantize(type: GgmlType, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const read = readers[type];
  if (read === undefined) {
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
  const values = new Float32Array(blocks * block.elements);
  read(bytes, blocks, values);
  return values;
}
