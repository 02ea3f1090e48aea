/** Turns rows of a GGUF tensor into the components of an encoding: the bytes that ONNX Runtime reads. */
import { dequantize, type GgmlType, readQuantizedBlocks } from '../gguf/index.ts';
import { quantizeRows } from './row-int8.ts';
import { lowerZeroPointBytes, type WeightEncoding } from './weight-encoding.ts';

/** The components (in the order of `componentsOf`) of `rows` rows of `rowLength` values, from their bytes in the file. */
export function encodeRows(
  type: GgmlType,
  bytes: Uint8Array,
  encoding: WeightEncoding,
  { rows, rowLength }: { rows: number; rowLength: number },
): readonly Uint8Array[] {
  if (encoding.kind === 'blocks') {
    const { quantized, ...rest } = readQuantizedBlocks(type, bytes);
    const scalesAndOffsets = (encoding.hasOffsets ? [rest.scales, rest.offsets] : [rest.scales]).map(bytesOf);
    if (!encoding.splitNibbles)
      return [encoding.bits === 4 ? packNibbles(quantized, 0) : quantized, ...scalesAndOffsets];
    const lowerZeros = new Uint8Array(rows * lowerZeroPointBytes(encoding, rowLength));
    return [packNibbles(quantized, 4), packNibbles(quantized, 0), lowerZeros, ...scalesAndOffsets];
  }
  if (encoding.kind === 'rows') {
    const { quantized, scales } = quantizeRows(dequantize(type, bytes), rowLength, encoding.signedness);
    return [quantized, bytesOf(scales)];
  }
  // GGUF's float16 is ONNX's.
  return encoding.element === 'float16' ? [bytes] : [bytesOf(dequantize(type, bytes))];
}

/** Four bits of each value, from bit `shift` on, two in a byte: the earlier value in the lower half. */
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
