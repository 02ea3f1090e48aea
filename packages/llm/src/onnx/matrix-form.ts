/**
 * How the rows of a GGUF tensor are stored for ONNX Runtime: as floats, or in the blocks that its MatMulNBits reads,
 * which hold every quantised type of GGUF without loss. A form splits a row into planes: all codes, all scales, ...
 * each of which is one tensor of the weights file.
 */
import { llmError } from '../errors.ts';
import type { GgmlType, GgufTensor } from '../gguf/index.ts';

/**
 * Of the dense layers: `exact` computes in float32, `fast` rounds activations to 8 bits, and `fastest`, where many rows
 * are multiplied at once, weights too.
 */
export type Precision = 'exact' | 'fast' | 'fastest';

/** Whether a product is made for one row at a time, or for many at once. */
export type RowCount = 'few' | 'many';

/**
 * A weight is scale * (code - zero) + offset, with one scale and one offset for each block of a row; `zero` is 8 for
 * 4-bit and 128 for 8-bit codes, as MatMulNBits has it where it is given no zero points.
 */
export interface BlockForm {
  readonly kind: 'blocks';
  readonly bits: 4 | 8;
  /** Values of a block. */
  readonly blockSize: 16 | 32;
  /** Whether blocks have offsets. */
  readonly offsets: boolean;
  /**
   * Whether 8-bit codes are stored as their upper and their lower nibbles: float32 products of 4-bit codes are fast,
   * while those of 8-bit codes decode the whole matrix on every call.
   */
  readonly split: boolean;
}

export interface FloatForm {
  readonly kind: 'floats';
  readonly element: 'float32' | 'float16';
}

/** Rotated rows in 8-bit codes, with one scale each: see `row-codes.ts`. */
export interface RowForm {
  readonly kind: 'rows';
  readonly codes: ByteCodes;
}

/** Whether bytes count from -128 or from 0. */
export type ByteCodes = 'signed' | 'unsigned';

export type MatrixForm = BlockForm | FloatForm | RowForm;

/** What a row of one plane is made of. */
export type PlaneName = 'values' | 'codes' | 'upperCodes' | 'lowerCodes' | 'lowerZeros' | 'scales' | 'offsets';

export interface Plane {
  readonly name: PlaneName;
  readonly bytesPerRow: number;
}

interface Blocks {
  bits: 4 | 8;
  blockSize: 16 | 32;
  offsets: boolean;
}

const blocksOf: Partial<Record<GgmlType, Blocks>> = {
  Q4_0: { bits: 4, blockSize: 32, offsets: false },
  Q4_1: { bits: 4, blockSize: 32, offsets: true },
  Q4_K: { bits: 4, blockSize: 32, offsets: true },
  Q5_0: { bits: 8, blockSize: 32, offsets: false },
  Q5_1: { bits: 8, blockSize: 32, offsets: true },
  Q5_K: { bits: 8, blockSize: 32, offsets: true },
  Q6_K: { bits: 8, blockSize: 16, offsets: false },
  Q8_0: { bits: 8, blockSize: 32, offsets: false },
};

const floatTypes: readonly GgmlType[] = ['F32', 'F16', 'BF16'];

/** The tensor types that the dense layers can be made of. */
export const supportedTensorTypes: readonly GgmlType[] = [...floatTypes, ...(Object.keys(blocksOf) as GgmlType[])];

/**
 * The form of a matrix that activations are multiplied by. Floats become float32: there are no faster products. `codes`
 * is what bytes are stored as where they are multiplied as they are.
 */
export function productForm(
  tensor: GgufTensor,
  precision: Precision,
  rows: RowCount = 'few',
  codes: ByteCodes = 'unsigned',
): MatrixForm {
  const blocks = blocksOf[tensor.type];
  if (blocks !== undefined && precision === 'fastest' && rows === 'many') return { kind: 'rows', codes };
  if (blocks !== undefined) return { kind: 'blocks', ...blocks, split: blocks.bits === 8 && precision === 'exact' };
  return floatForm(tensor, 'float32');
}

/** The form of a table whose rows are looked up. */
export function tableForm(tensor: GgufTensor): MatrixForm {
  const blocks = blocksOf[tensor.type];
  if (blocks !== undefined) return { kind: 'blocks', ...blocks, split: false };
  return floatForm(tensor, tensor.type === 'F16' ? 'float16' : 'float32');
}

function floatForm({ name, type }: GgufTensor, element: FloatForm['element']): FloatForm {
  if (floatTypes.includes(type)) return { kind: 'floats', element };
  throw llmError({
    code: 'unsupported-tensor-type',
    problem: `The tensor ${JSON.stringify(name)} has a storage type that the dense layers cannot be made of.`,
    found: type,
    remedy: `Use a file of these types: ${supportedTensorTypes.join(', ')}.`,
  });
}

/** The planes of a form, for rows of `rowLength` values. */
export function planesOf(form: MatrixForm, rowLength: number): readonly Plane[] {
  if (form.kind === 'floats') {
    return [{ name: 'values', bytesPerRow: rowLength * (form.element === 'float32' ? 4 : 2) }];
  }
  if (form.kind === 'rows') {
    return [
      { name: 'codes', bytesPerRow: rowLength },
      { name: 'scales', bytesPerRow: Float32Array.BYTES_PER_ELEMENT },
    ];
  }
  const perBlock = (rowLength / form.blockSize) * Float32Array.BYTES_PER_ELEMENT;
  const codes: Plane[] = form.split
    ? [
        { name: 'upperCodes', bytesPerRow: rowLength / 2 },
        { name: 'lowerCodes', bytesPerRow: rowLength / 2 },
        { name: 'lowerZeros', bytesPerRow: lowerZeroBytes(form, rowLength) },
      ]
    : [{ name: 'codes', bytesPerRow: (rowLength * form.bits) / 8 }];
  const scales: Plane = { name: 'scales', bytesPerRow: perBlock };
  return form.offsets ? [...codes, scales, { name: 'offsets', bytesPerRow: perBlock }] : [...codes, scales];
}

/** Lower nibbles count from 0, not from 8, which MatMulNBits must be told: 4 bits for each block of a row. */
export function lowerZeroBytes({ blockSize }: BlockForm, rowLength: number): number {
  return Math.ceil(rowLength / blockSize / 2);
}

/** Equal for equal forms. */
export function formKey(form: MatrixForm): string {
  if (form.kind === 'floats') return form.element;
  if (form.kind === 'rows') return `${form.codes} rows`;
  return `${form.bits}x${form.blockSize}${form.offsets ? '+offsets' : ''}${form.split ? ' split' : ''}`;
}
