/** Turns rows of a GGUF tensor into the planes of a form: the bytes that ONNX Runtime reads. */
import { dequantize, type GgmlType } from '../gguf/index.ts';
import { type BlockCodes, readBlockCodes } from './block-codes.ts';
import { type BlockForm, lowerZeroBytes, type MatrixForm } from './matrix-form.ts';
import { encodeRowCodes } from './row-codes.ts';

/**
 * The planes (in the order of `planesOf`) of `rows` rows of `rowLength` values, whose bytes in the file are `bytes`.
 */
export function encodeRows(
  type: GgmlType,
  bytes: Uint8Array,
  form: MatrixForm,
  { rows, rowLength }: { rows: number; rowLength: number },
): readonly Uint8Array[] {
  if (form.kind === 'blocks') {
    const { codes, ...rest } = readBlocks(type, bytes, form, rows * rowLength);
    const tail = (form.offsets ? [rest.scales, rest.offsets] : [rest.scales]).map(bytesOf);
    if (!form.split) return [form.bits === 4 ? packNibbles(codes, 0) : codes, ...tail];
    const lowerZeros = new Uint8Array(rows * lowerZeroBytes(form, rowLength));
    return [packNibbles(codes, 4), packNibbles(codes, 0), lowerZeros, ...tail];
  }
  if (form.kind === 'rows') {
    const { codes, scales } = encodeRowCodes(dequantize(type, bytes), rowLength, form.codes);
    return [codes, bytesOf(scales)];
  }
  // GGUF's halves are ONNX's.
  return form.element === 'float16' ? [bytes] : [bytesOf(dequantize(type, bytes))];
}

function readBlocks(type: GgmlType, bytes: Uint8Array, form: BlockForm, values: number): BlockCodes {
  const blocks = values / form.blockSize;
  const into = {
    codes: new Uint8Array(values),
    scales: new Float32Array(blocks),
    offsets: new Float32Array(form.offsets ? blocks : 0),
  };
  readBlockCodes(type, bytes, into);
  return into;
}

/** Four bits of each code, from bit `shift` on, two in a byte: the earlier value in the lower half. */
function packNibbles(codes: Uint8Array, shift: 0 | 4): Uint8Array {
  const packed = new Uint8Array(codes.length / 2);
  for (let i = 0; i < packed.length; i++) {
    const lower = ((codes[2 * i] as number) >> shift) & 15;
    const upper = ((codes[2 * i + 1] as number) >> shift) & 15;
    packed[i] = lower | (upper << 4);
  }
  return packed;
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
