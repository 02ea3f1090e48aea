/** Turns rows of a GGUF tensor into the planes of a form: the bytes that ONNX Runtime reads. */
import { dequantize, type GgmlType } from '../gguf/index.ts';
import { type QuantizedBlocks, readQuantizedBlocks } from './block-quantized.ts';
import { quantizeRows } from './row-int8.ts';
import { type BlockQuantized, lowerZeroPointBytes, type WeightEncoding } from './weight-encoding.ts';

/**
 * The planes (in the order of `planesOf`) of `rows` rows of `rowLength` values, whose bytes in the file are `bytes`.
 */
export function encodeRows(
  type: GgmlType,
  bytes: Uint8Array,
  encoding: WeightEncoding,
  { rows, rowLength }: { rows: number; rowLength: number },
): readonly Uint8Array[] {
  if (encoding.kind === 'blocks') {
    const { quantized, ...rest } = readBlocks(type, bytes, encoding, rows * rowLength);
    const scalesAndOffsets = (encoding.hasOffsets ? [rest.scales, rest.offsets] : [rest.scales]).map(bytesOf);
    if (!encoding.splitNibbles)
      return [encoding.bits === 4 ? packNibbles(quantized, 0) : quantized, ...scalesAndOffsets];
    const lowerZeros = new Uint8Array(rows * lowerZeroPointBytes(encoding, rowLength));
    return [packNibbles(quantized, 4), packNibbles(quantized, 0), lowerZeros, ...scalesAndOffsets];
  }
  if (encoding.kind === 'rows') {
    const { quantized: codes, scales } = quantizeRows(dequantize(type, bytes), rowLength, encoding.signedness);
    return [codes, bytesOf(scales)];
  }
  // GGUF's halves are ONNX's.
  return encoding.element === 'float16' ? [bytes] : [bytesOf(dequantize(type, bytes))];
}

function readBlocks(type: GgmlType, bytes: Uint8Array, encoding: BlockQuantized, values: number): QuantizedBlocks {
  const blocks = values / encoding.blockSize;
  const target = {
    quantized: new Uint8Array(values),
    scales: new Float32Array(blocks),
    offsets: new Float32Array(encoding.hasOffsets ? blocks : 0),
  };
  readQuantizedBlocks(type, bytes, target);
  return target;
}

/** Four bits of each code, from bit `shift` on, two in a byte: the earlier value in the lower half. */
function packNibbles(quantized: Uint8Array, shift: 0 | 4): Uint8Array {
  const packed = new Uint8Array(quantized.length / 2);
  for (let i = 0; i < packed.length; i++) {
    const lower = ((quantized[2 * i] as number) >> shift) & 15;
    const upper = ((quantized[2 * i + 1] as number) >> shift) & 15;
    packed[i] = lower | (upper << 4);
  }
  return packed;
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
