/**
 * Finds NaN and infinity in stored weights without computing their values: in quantized blocks only the half-precision
 * scales can hold one.
 */
import { llmError } from '../errors.ts';
import { dequantize } from './dequantize.ts';
import { quoted } from './errors.ts';
import { uint16 } from './formats/formats.ts';
import type { GgufTensor } from './header.ts';
import type { GgmlType } from './types.ts';
import { ggmlBlock } from './types.ts';

/** Offsets in a block of its 16-bit floats, and the bits of their exponent: all set means NaN or infinity. */
const floats: Partial<Record<GgmlType, { offsets: readonly number[]; exponent: number }>> = {
  // The upper half of a float32 has its whole exponent.
  F32: { offsets: [2], exponent: 0x7f80 },
  BF16: { offsets: [0], exponent: 0x7f80 },
  F16: { offsets: [0], exponent: 0x7c00 },
  Q4_0: { offsets: [0], exponent: 0x7c00 },
  Q4_1: { offsets: [0, 2], exponent: 0x7c00 },
  Q5_0: { offsets: [0], exponent: 0x7c00 },
  Q5_1: { offsets: [0, 2], exponent: 0x7c00 },
  Q8_0: { offsets: [0], exponent: 0x7c00 },
  Q4_K: { offsets: [0, 2], exponent: 0x7c00 },
  Q5_K: { offsets: [0, 2], exponent: 0x7c00 },
  Q6_K: { offsets: [208], exponent: 0x7c00 },
  Q2_K: { offsets: [80, 82], exponent: 0x7c00 },
  Q3_K: { offsets: [108], exponent: 0x7c00 },
  IQ4_NL: { offsets: [0], exponent: 0x7c00 },
  IQ4_XS: { offsets: [0], exponent: 0x7c00 },
  TQ1_0: { offsets: [52], exponent: 0x7c00 },
  TQ2_0: { offsets: [64], exponent: 0x7c00 },
  IQ3_XXS: { offsets: [0], exponent: 0x7c00 },
  IQ3_S: { offsets: [0], exponent: 0x7c00 },
  IQ2_XXS: { offsets: [0], exponent: 0x7c00 },
  IQ2_XS: { offsets: [0], exponent: 0x7c00 },
  IQ2_S: { offsets: [0], exponent: 0x7c00 },
};

/**
 * Throws `not-a-number` where `bytes` (whole blocks of the tensor) hold a NaN or an infinity. Types that
 * `dequantize` does not know pass unchecked.
 */
export function requireFinite(tensor: Pick<GgufTensor, 'name' | 'type'>, bytes: Uint8Array): void {
  if (tensor.type === 'MXFP4') requireFiniteExponents(tensor, bytes);
  const places = floats[tensor.type];
  if (places === undefined) return;
  const block = ggmlBlock(tensor.type).bytes;
  for (const offset of places.offsets) {
    for (let at = offset; at + 1 < bytes.length; at += block) {
      if ((uint16(bytes, at) & places.exponent) === places.exponent) {
        throw notFinite(tensor, Math.floor(at / block));
      }
    }
  }
}

/** The scale of a block of MXFP4 is a power of two, which only together with its values may be past float32. */
function requireFiniteExponents(tensor: Pick<GgufTensor, 'name' | 'type'>, bytes: Uint8Array): void {
  const maxExponent = 252;
  const size = ggmlBlock(tensor.type).bytes;
  for (let at = 0; at < bytes.length; at += size) {
    if ((bytes[at] as number) <= maxExponent) continue;
    const values = dequantize(tensor.type, bytes.subarray(at, at + size));
    if (!values.every(Number.isFinite)) throw notFinite(tensor, at / size);
  }
}

function notFinite({ name, type }: Pick<GgufTensor, 'name' | 'type'>, block: number) {
  return llmError({
    code: 'not-a-number',
    problem: `The tensor ${quoted(name)} holds a value that is not a finite number.`,
    found: `block ${block} of ${type}`,
    remedy: 'Fetch or convert the model again: these weights are damaged.',
  });
}
