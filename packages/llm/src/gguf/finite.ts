/**
 * Finds NaN and infinity in stored weights without computing their values: in quantised blocks only the half-precision
 * scales can hold one.
 */
import { llmError } from '../errors.ts';
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
};

/**
 * Throws `not-a-number` where `bytes` (whole blocks of the tensor) hold a NaN or an infinity. Types that
 * `dequantize` does not know pass unchecked.
 */
export function requireFinite(tensor: Pick<GgufTensor, 'name' | 'type'>, bytes: Uint8Array): void {
  const places = floats[tensor.type];
  if (places === undefined) return;
  const block = ggmlBlock(tensor.type).bytes;
  for (const offset of places.offsets) {
    for (let at = offset; at + 1 < bytes.length; at += block) {
      if ((uint16(bytes, at) & places.exponent) === places.exponent) {
        throw llmError({
          code: 'not-a-number',
          problem: `The tensor ${quoted(tensor.name)} holds a value that is not a finite number.`,
          found: `block ${Math.floor(at / block)} of ${tensor.type}`,
          remedy: 'Fetch or convert the model again: these weights are damaged.',
        });
      }
    }
  }
}
