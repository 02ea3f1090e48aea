/** Turns rows of a GGUF tensor into the components of an encoding: the bytes that ONNX Runtime reads. */
import {
  blockLayout,
  dequantize,
  float16Table,
  type GgmlType,
  ggmlBlock,
  type QuantizedBlocks,
  readQuantizedBlocks,
} from '../gguf/index.ts';
import { quantizeRows } from './row-int8.ts';
import { type BlockQuantized, lowerZeroPointBytes, type WeightEncoding } from './weight-encoding.ts';

/** The components (in the order of `componentsOf`) of `rows` rows of `rowLength` values, from their bytes in the file. */
export function encodeRows(
  type: GgmlType,
  bytes: Uint8Array,
  encoding: WeightEncoding,
  { rows, rowLength }: { rows: number; rowLength: number },
): readonly Uint8Array[] {
  if (encoding.kind === 'blocks') {
    const blocks = readQuantizedBlocks(type, bytes);
    const { quantized } = blocks;
    const scalesAndOffsets = encodeScales(type, bytes, encoding, blocks);
    if (!encoding.splitNibbles)
      return [encoding.bits === 4 ? packNibbles(quantized, 0) : quantized, ...scalesAndOffsets];
    const lowerZeros = new Uint8Array(rows * lowerZeroPointBytes(encoding, rowLength));
    return [packNibbles(quantized, 4), packNibbles(quantized, 0), lowerZeros, ...scalesAndOffsets];
  }
  if (encoding.kind === 'rows') {
    const { quantized, scales } = quantizeRows(dequantize(type, bytes), rowLength, encoding.signedness);
    return [quantized, asBytes(scales)];
  }
  // GGUF's float16 is ONNX's.
  return encoding.element === 'float16' ? [bytes] : [asBytes(dequantize(type, bytes))];
}

/** The components of scales and offsets: factors as they are in the file, and what scales and minima are of them. */
function encodeScales(
  type: GgmlType,
  bytes: Uint8Array,
  { hasOffsets }: BlockQuantized,
  { scales, offsets, minima }: QuantizedBlocks,
): Uint8Array[] {
  const factors = blockLayout(type)?.factors;
  if (factors === undefined) return (hasOffsets ? [scales, offsets] : [scales]).map(asBytes);
  const scaleFactors = halvesAt(type, bytes, factors.at);
  const hasCodes = factors.blocks > 1;
  return [
    scaleFactors,
    ...(hasCodes ? [scaleCodes(scales, scaleFactors, factors.blocks)] : []),
    ...(factors.minima === undefined ? [] : [halvesAt(type, bytes, factors.minima.at)]),
    ...(factors.minima === undefined || !hasCodes ? [] : [minima]),
  ].map(asBytes);
}

/** The float16 at an offset of every block of the file, as bits. */
function halvesAt(type: GgmlType, bytes: Uint8Array, offset: number): Uint16Array {
  const { bytes: blockBytes } = ggmlBlock(type);
  return Uint16Array.from({ length: bytes.length / blockBytes }, (_, block) => {
    const at = block * blockBytes + offset;
    return (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
  });
}

/** Which multiple of its factor each scale is: it has no more digits than float32. */
function scaleCodes(scales: Float32Array, factors: Uint16Array, blocks: number): Int8Array {
  const float16 = float16Table();
  return Int8Array.from(scales, (scale, i) => {
    const factor = float16[factors[Math.floor(i / blocks)] as number] as number;
    return factor === 0 ? 0 : Math.round(scale / factor);
  });
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

const asBytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
