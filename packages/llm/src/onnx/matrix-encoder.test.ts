import { describe, expect, it } from 'vitest';
import { createRandom } from '../../test/random.ts';
import { randomTensorBytes } from '../../test/random-tensor.ts';
import type { GgmlType, GgufTensor } from '../gguf/index.ts';
import { dequantizableTypes, dequantize } from '../gguf/index.ts';
import { encodeRows } from './matrix-encoder.ts';
import type { BlockForm, MatrixForm } from './matrix-form.ts';
import { planesOf, productForm, supportedTensorTypes, tableForm } from './matrix-form.ts';

const rowLength = 512;
const rows = 3;
const quantisedTypes = supportedTensorTypes.filter((type) => !['F32', 'F16', 'BF16'].includes(type));

function tensorOf(type: GgmlType): GgufTensor {
  return { name: type, type, dimensions: [rowLength, rows], offset: 0, byteLength: 0 };
}

function encode(type: GgmlType, form: MatrixForm) {
  const bytes = randomTensorBytes(createRandom(3), type, [rowLength, rows]);
  const parts = encodeRows(type, bytes, form, { rows, rowLength });
  const planes = new Map(planesOf(form, rowLength).map(({ name }, i) => [name, parts[i] as Uint8Array]));
  return { values: dequantize(type, bytes), planes, parts };
}

/** The weights that a form stands for, by the formula of MatMulNBits and its operators' zero points. */
function decode(planes: ReadonlyMap<string, Uint8Array>, form: BlockForm): Float64Array {
  const floats = (name: string) => new Float32Array((planes.get(name) as Uint8Array).slice().buffer);
  const nibble = (name: string, at: number) => ((planes.get(name)?.[at >> 1] as number) >> ((at & 1) * 4)) & 15;
  const scales = floats('scales');
  const offsets = form.offsets ? floats('offsets') : undefined;
  const code = (at: number) => {
    if (form.split) return 16 * (nibble('upperCodes', at) - 8) + nibble('lowerCodes', at);
    return form.bits === 4 ? nibble('codes', at) - 8 : (planes.get('codes')?.[at] as number) - 128;
  };
  return Float64Array.from({ length: rows * rowLength }, (_, at) => {
    const block = Math.floor(at / form.blockSize);
    return (scales[block] as number) * code(at) + (offsets?.[block] ?? 0);
  });
}

describe('forms of matrices', () => {
  it('exist for every type that can be read', () => {
    expect([...supportedTensorTypes].sort()).toEqual([...dequantizableTypes].sort());
  });

  it.each(['F16', 'F32', 'BF16'] as const)('%s: products have its values as float32', (type) => {
    const { values, parts } = encode(type, productForm(tensorOf(type), 'exact'));
    expect(new Float32Array((parts[0] as Uint8Array).slice().buffer)).toEqual(values);
  });

  it('F16: a table has its bits as they are', () => {
    const form = tableForm(tensorOf('F16'));
    expect(encode('F16', form).parts[0]).toEqual(randomTensorBytes(createRandom(3), 'F16', [rowLength, rows]));
  });

  describe.each(quantisedTypes)('%s', (type) => {
    it.each(['fast', 'exact'] as const)('holds every weight without loss, %s', (precision) => {
      const form = productForm(tensorOf(type), precision) as BlockForm;
      const { values, planes } = encode(type, form);
      const decoded = decode(planes, form);
      const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      expect(largest).toBeGreaterThan(0.01);
      for (const [i, value] of values.entries()) {
        expect(Math.abs((decoded[i] as number) - value)).toBeLessThan(largest * 2 ** -22);
      }
    });

    it('has planes of the sizes that are planned', () => {
      for (const form of [productForm(tensorOf(type), 'exact'), productForm(tensorOf(type), 'fast')]) {
        const planned = planesOf(form, rowLength).map(({ bytesPerRow }) => rows * bytesPerRow);
        expect(encode(type, form).parts.map((part) => part.length)).toEqual(planned);
      }
    });
  });

  it('splits 8-bit codes for exact products only', () => {
    expect(productForm(tensorOf('Q8_0'), 'exact')).toMatchObject({ bits: 8, split: true });
    expect(productForm(tensorOf('Q8_0'), 'fast')).toMatchObject({ bits: 8, split: false });
    expect(productForm(tensorOf('Q4_0'), 'exact')).toMatchObject({ bits: 4, split: false });
    expect(tableForm(tensorOf('Q8_0'))).toMatchObject({ bits: 8, split: false });
  });

  it('refuses types that it does not know', () => {
    expect(() => productForm(tensorOf('IQ4_NL'), 'fast')).toThrowError(
      expect.objectContaining({ code: 'unsupported-tensor-type', found: 'IQ4_NL' }),
    );
  });
});
