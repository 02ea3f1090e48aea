/**
 * How the rows of a GGUF tensor are stored for ONNX Runtime: as floats, or in the blocks that its MatMulNBits reads,
 * which hold every quantised type of GGUF without loss. A form splits a row into planes: all codes, all scales, ...
 * each of which is one tensor of the weights file.
 */
import { llmError } from '../errors.ts';
import type { GgmlType, GgufTensor } from '../gguf/index.ts';

/**
 * Of the dense layers: `fp32` computes in float32, `a8` rounds activations to 8 bits, and `w8a8`, where many rows
 * are multiplied at once, weights too.
 */
export type MatmulPrecision = 'fp32' | 'a8' | 'w8a8';

/** Whether a product is made for one row at a time, or for many at once. */
export type MatmulShape = 'gemv' | 'gemm';

/**
 * A weight is scale * (code - zero) + offset, with one scale and one offset for each block of a row; `zero` is 8 for
 * 4-bit and 128 for 8-bit codes, as MatMulNBits has it where it is given no zero points.
 */
export interface BlockQuantized {
  readonly kind: 'blocks';
  readonly bits: 4 | 8;
  /** Values of a block. */
  readonly blockSize: 16 | 32;
  /** Whether blocks have offsets. */
  readonly hasOffsets: boolean;
  /**
   * Whether 8-bit codes are stored as their upper and their lower nibbles: float32 products of 4-bit codes are fast,
   * while those of 8-bit codes decode the whole matrix on every call.
   */
  readonly splitNibbles: boolean;
}

export interface FloatEncoding {
  readonly kind: 'floats';
  readonly element: 'float32' | 'float16';
}

/** Rotated rows in 8-bit codes, with one scale each: see `row-codes.ts`. */
export interface RowInt8 {
  readonly kind: 'rows';
  readonly signedness: Int8Signedness;
}

/** Whether bytes count from -128 or from 0. */
export type Int8Signedness = 'signed' | 'unsigned';

export type WeightEncoding = BlockQuantized | FloatEncoding | RowInt8;

/** What a row of one plane is made of. */
export type ComponentName =
  | 'values'
  | 'quantized'
  | 'upperNibbles'
  | 'lowerNibbles'
  | 'lowerZeroPoints'
  | 'scales'
  | 'offsets';

export interface EncodingComponent {
  readonly name: ComponentName;
  readonly bytesPerRow: number;
}

interface BlockLayout {
  bits: 4 | 8;
  blockSize: 16 | 32;
  hasOffsets: boolean;
}

const BLOCK_LAYOUTS: Partial<Record<GgmlType, BlockLayout>> = {
  Q4_0: { bits: 4, blockSize: 32, hasOffsets: false },
  Q4_1: { bits: 4, blockSize: 32, hasOffsets: true },
  Q4_K: { bits: 4, blockSize: 32, hasOffsets: true },
  Q5_0: { bits: 8, blockSize: 32, hasOffsets: false },
  Q5_1: { bits: 8, blockSize: 32, hasOffsets: true },
  Q5_K: { bits: 8, blockSize: 32, hasOffsets: true },
  Q6_K: { bits: 8, blockSize: 16, hasOffsets: false },
  Q8_0: { bits: 8, blockSize: 32, hasOffsets: false },
};

const floatTypes: readonly GgmlType[] = ['F32', 'F16', 'BF16'];

/** The tensor types that the dense layers can be made of. */
export const supportedTensorTypes: readonly GgmlType[] = [...floatTypes, ...(Object.keys(BLOCK_LAYOUTS) as GgmlType[])];

/**
 * The form of a matrix that activations are multiplied by. Floats become float32: there are no faster products. `codes`
 * is what bytes are stored as where they are multiplied as they are.
 */
export function productEncoding(
  tensor: GgufTensor,
  precision: MatmulPrecision,
  matmulShape: MatmulShape = 'gemv',
  signedness: Int8Signedness = 'unsigned',
): WeightEncoding {
  const layout = BLOCK_LAYOUTS[tensor.type];
  if (layout !== undefined && precision === 'w8a8' && matmulShape === 'gemm') return { kind: 'rows', signedness };
  if (layout !== undefined)
    return { kind: 'blocks', ...layout, splitNibbles: layout.bits === 8 && precision === 'fp32' };
  return floatEncoding(tensor, 'float32');
}

/** The form of a table whose rows are looked up. */
export function tableEncoding(tensor: GgufTensor): WeightEncoding {
  const layout = BLOCK_LAYOUTS[tensor.type];
  if (layout !== undefined) return { kind: 'blocks', ...layout, splitNibbles: false };
  return floatEncoding(tensor, tensor.type === 'F16' ? 'float16' : 'float32');
}

function floatEncoding({ name, type }: GgufTensor, element: FloatEncoding['element']): FloatEncoding {
  if (floatTypes.includes(type)) return { kind: 'floats', element };
  throw llmError({
    code: 'unsupported-tensor-type',
    problem: `The tensor ${JSON.stringify(name)} has a storage type that the dense layers cannot be made of.`,
    found: type,
    remedy: `Use a file of these types: ${supportedTensorTypes.join(', ')}.`,
  });
}

/** The planes of a form, for rows of `rowLength` values. */
export function componentsOf(encoding: WeightEncoding, rowLength: number): readonly EncodingComponent[] {
  if (encoding.kind === 'floats') {
    return [{ name: 'values', bytesPerRow: rowLength * (encoding.element === 'float32' ? 4 : 2) }];
  }
  if (encoding.kind === 'rows') {
    return [
      { name: 'quantized', bytesPerRow: rowLength },
      { name: 'scales', bytesPerRow: Float32Array.BYTES_PER_ELEMENT },
    ];
  }
  const scaleBytesPerRow = (rowLength / encoding.blockSize) * Float32Array.BYTES_PER_ELEMENT;
  const quantized: EncodingComponent[] = encoding.splitNibbles
    ? [
        { name: 'upperNibbles', bytesPerRow: rowLength / 2 },
        { name: 'lowerNibbles', bytesPerRow: rowLength / 2 },
        { name: 'lowerZeroPoints', bytesPerRow: lowerZeroPointBytes(encoding, rowLength) },
      ]
    : [{ name: 'quantized', bytesPerRow: (rowLength * encoding.bits) / 8 }];
  const scales: EncodingComponent = { name: 'scales', bytesPerRow: scaleBytesPerRow };
  return encoding.hasOffsets
    ? [...quantized, scales, { name: 'offsets', bytesPerRow: scaleBytesPerRow }]
    : [...quantized, scales];
}

/** Lower nibbles count from 0, not from 8, which MatMulNBits must be told: 4 bits for each block of a row. */
export function lowerZeroPointBytes({ blockSize }: BlockQuantized, rowLength: number): number {
  return Math.ceil(rowLength / blockSize / 2);
}

/** Equal for equal forms. */
export function encodingKey(encoding: WeightEncoding): string {
  if (encoding.kind === 'floats') return encoding.element;
  if (encoding.kind === 'rows') return `${encoding.signedness} rows`;
  return `${encoding.bits}x${encoding.blockSize}${encoding.hasOffsets ? '+offsets' : ''}${encoding.splitNibbles ? ' split' : ''}`;
}
