/**
 * How the rows of a GGUF tensor are stored for ONNX Runtime: as floats, or in the blocks that its MatMulNBits reads,
 * which hold every quantized type of GGUF without loss. An encoding splits a row into components (all quantized values, all
 * scales, ...), each of which is one tensor of the weights file.
 */
import { llmError } from '../errors.ts';
import { type BlockLayout, blockLayout, type GgmlType, type GgufTensor, quantizedTypes } from '../gguf/index.ts';

/**
 * How matrices are multiplied: `fp32` in float32, `a8` with activations quantized to 8 bits, and `w8a8`, where many rows
 * are multiplied at once, with weights requantized to 8 bits, too.
 */
export type MatmulPrecision = (typeof MATMUL_PRECISIONS)[number];

export const MATMUL_PRECISIONS = ['fp32', 'a8', 'w8a8'] as const;

/** Whether a product is made for one row at a time, or for many at once. */
export type MatmulShape = 'gemv' | 'gemm';

/**
 * How float32 activations are multiplied by blocks. `as-blocks`: by MatMulNBits. `as-floats`: the blocks are dequantized
 * when ONNX Runtime loads the graph, which takes 4 bytes a value, for backends whose MatMulNBits does that at every call.
 */
export type BlockProducts = 'as-blocks' | 'as-floats';

/** Blocks of small integers with scales, as MatMulNBits reads them where it is given no zero points. */
export interface BlockQuantized extends BlockLayout {
  readonly kind: 'blocks';
  /**
   * Whether 8-bit values are stored as their upper and their lower nibbles: float32 products with 4-bit values are fast,
   * while those with 8-bit values dequantize the whole matrix on every call.
   */
  readonly splitNibbles: boolean;
}

export interface FloatEncoding {
  readonly kind: 'floats';
  readonly element: 'float32' | 'float16';
}

/** Rotated rows quantized to 8 bits, with one scale each: see `row-int8.ts`. */
export interface RowInt8 {
  readonly kind: 'rows';
  readonly signedness: Int8Signedness;
}

/** Whether bytes count from -128 or from 0. */
export type Int8Signedness = 'signed' | 'unsigned';

export type WeightEncoding = BlockQuantized | FloatEncoding | RowInt8;

/** What a component holds. */
export type ComponentName =
  | 'values'
  | 'quantized'
  | 'upperNibbles'
  | 'lowerNibbles'
  | 'lowerZeroPoints'
  | 'scales'
  | 'scaleFactors'
  | 'scaleCodes'
  | 'offsets'
  | 'minimumFactors'
  | 'minimumCodes';

export interface EncodingComponent {
  readonly name: ComponentName;
  readonly bytesPerRow: number;
}

const floatTypes: readonly GgmlType[] = ['F32', 'F16', 'BF16'];

/** The tensor types that the dense layers can be made of. */
export const supportedTensorTypes: readonly GgmlType[] = [...floatTypes, ...quantizedTypes];

/**
 * The encoding of a matrix that activations are multiplied by. Floats become float32: there are no faster products.
 * `signedness` is that of rows that are quantized to 8 bits.
 */
export function productEncoding(
  tensor: GgufTensor,
  precision: MatmulPrecision,
  matmulShape: MatmulShape = 'gemv',
  signedness: Int8Signedness = 'unsigned',
): WeightEncoding {
  const layout = blockLayout(tensor.type);
  if (layout !== undefined && precision === 'w8a8' && matmulShape === 'gemm') return { kind: 'rows', signedness };
  if (layout !== undefined) return blockEncoding(layout, precision);
  return floatEncoding(tensor, 'float32');
}

const blockEncoding = (layout: BlockLayout, precision: MatmulPrecision): BlockQuantized => ({
  kind: 'blocks',
  ...layout,
  splitNibbles: layout.bits === 8 && precision === 'fp32',
});

/**
 * The encoding of a table whose rows are looked up. Blocks are those of products with it, so that an embedding that is also
 * the head is stored once.
 */
export function tableEncoding(tensor: GgufTensor, precision: MatmulPrecision): WeightEncoding {
  const layout = blockLayout(tensor.type);
  if (layout !== undefined) return blockEncoding(layout, precision);
  return floatEncoding(tensor, tensor.type === 'F16' ? 'float16' : 'float32');
}

/** The encoding of experts: blocks where QMoE reads those of all tensors as they are, else float32. */
export function expertEncoding(tensors: readonly GgufTensor[]): BlockQuantized | FloatEncoding {
  const [first] = tensors as [GgufTensor];
  const layout = blockLayout(first.type);
  const isReadable = layout !== undefined && layout.blockSize === 32 && !layout.hasOffsets;
  if (isReadable && tensors.every(({ type }) => type === first.type)) {
    return { kind: 'blocks', ...layout, splitNibbles: false };
  }
  for (const tensor of tensors) if (blockLayout(tensor.type) === undefined) floatEncoding(tensor, 'float32');
  return { kind: 'floats', element: 'float32' };
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

/** The components of an encoding, for rows of `rowLength` values. */
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
  const quantized: EncodingComponent[] = encoding.splitNibbles
    ? [
        { name: 'upperNibbles', bytesPerRow: rowLength / 2 },
        { name: 'lowerNibbles', bytesPerRow: rowLength / 2 },
        { name: 'lowerZeroPoints', bytesPerRow: lowerZeroPointBytes(encoding, rowLength) },
      ]
    : [{ name: 'quantized', bytesPerRow: (rowLength * encoding.bits) / 8 }];
  return [...quantized, ...scaleComponents(encoding, rowLength / encoding.blockSize)];
}

/** The components of the scales and offsets of a row of `blocks` blocks. */
function scaleComponents({ factors, hasOffsets }: BlockQuantized, blocks: number): EncodingComponent[] {
  const part = (name: ComponentName, bytesPerRow: number): EncodingComponent => ({ name, bytesPerRow });
  if (factors === undefined) {
    const bytes = blocks * Float32Array.BYTES_PER_ELEMENT;
    return [part('scales', bytes), ...(hasOffsets ? [part('offsets', bytes)] : [])];
  }
  const factorBytes = (2 * blocks) / factors.blocks;
  const codes = (name: ComponentName) => (factors.blocks === 1 ? [] : [part(name, blocks)]);
  return [
    part('scaleFactors', factorBytes),
    ...codes('scaleCodes'),
    ...(hasOffsets ? [part('minimumFactors', factorBytes), ...codes('minimumCodes')] : []),
  ];
}

/** Bytes of a row's zero points: lower nibbles count from 0, not from 8, so each block has a zero point of 4 bits. */
export function lowerZeroPointBytes({ blockSize }: BlockQuantized, rowLength: number): number {
  return Math.ceil(rowLength / blockSize / 2);
}

/** Equal for equal encodings. */
export function encodingKey(encoding: WeightEncoding): string {
  if (encoding.kind === 'floats') return encoding.element;
  if (encoding.kind === 'rows') return `${encoding.signedness} rows`;
  const { bits, blockSize, hasOffsets, splitNibbles, factors } = encoding;
  const shared =
    factors && ` by ${factors.blocks}${factors.minima === undefined ? '' : ` about ${factors.minima.middle}`}`;
  return `${bits}x${blockSize}${hasOffsets ? '+offsets' : ''}${shared ?? ''}${splitNibbles ? ' split' : ''}`;
}
