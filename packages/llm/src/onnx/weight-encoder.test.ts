import { float16ToFloat32 } from 'keysieve/engine';
import { describe, expect, it } from 'vitest';
import { createRandom } from '../../test/random.ts';
import { randomTensorBytes } from '../../test/random-tensor.ts';
import type { GgmlType, GgufTensor } from '../gguf/index.ts';
import { blockLayout, dequantizableTypes, dequantize, readQuantizedBlocks } from '../gguf/index.ts';
import { encodeRows } from './weight-encoder.ts';
import type { BlockQuantized, ComponentName, WeightEncoding } from './weight-encoding.ts';
import { componentsOf, productEncoding, supportedTensorTypes, tableEncoding } from './weight-encoding.ts';

const rowLength = 512;
const rows = 3;
const quantizedTypes = supportedTensorTypes.filter((type) => !['F32', 'F16', 'BF16'].includes(type));

function tensorOf(type: GgmlType): GgufTensor {
  return { name: type, type, dimensions: [rowLength, rows], offset: 0, byteLength: 0 };
}

function encode(type: GgmlType, encoding: WeightEncoding) {
  const bytes = randomTensorBytes(createRandom(3), type, [rowLength, rows]);
  const parts = encodeRows(type, bytes, encoding, { rows, rowLength });
  const components = new Map(componentsOf(encoding, rowLength).map(({ name }, i) => [name, parts[i] as Uint8Array]));
  return { values: dequantize(type, bytes), components, parts };
}

/** The weights that a form stands for, by the formula of MatMulNBits and its operators' zero points. */
function decode(components: ReadonlyMap<ComponentName, Uint8Array>, encoding: BlockQuantized): Float64Array {
  const floats = (name: ComponentName) => new Float32Array((components.get(name) as Uint8Array).slice().buffer);
  const nibble = (name: ComponentName, at: number) =>
    ((components.get(name)?.[at >> 1] as number) >> ((at & 1) * 4)) & 15;
  const { scales, offsets } = scalesOf(components, encoding, floats);
  const quantizedAt = (at: number) => {
    if (encoding.splitNibbles) return 16 * (nibble('upperNibbles', at) - 8) + nibble('lowerNibbles', at);
    return encoding.bits === 4 ? nibble('quantized', at) - 8 : (components.get('quantized')?.[at] as number) - 128;
  };
  return Float64Array.from({ length: rows * rowLength }, (_, at) => {
    const block = Math.floor(at / encoding.blockSize);
    return (scales[block] as number) * quantizedAt(at) + (offsets?.[block] ?? 0);
  });
}

/** Scales and offsets of all blocks, from what they are stored as. */
function scalesOf(
  components: ReadonlyMap<ComponentName, Uint8Array>,
  { factors, hasOffsets }: BlockQuantized,
  floats: (name: ComponentName) => Float32Array,
): { scales: Float32Array; offsets: Float32Array | undefined } {
  if (factors === undefined) return { scales: floats('scales'), offsets: hasOffsets ? floats('offsets') : undefined };
  const halves = (name: ComponentName) =>
    Float32Array.from(new Uint16Array((components.get(name) as Uint8Array).slice().buffer), float16ToFloat32);
  const multiplied = (factorName: ComponentName, codeName: ComponentName) => {
    const values = halves(factorName);
    if (factors.blocks === 1) return values;
    const codes = new Int8Array((components.get(codeName) as Uint8Array).slice().buffer);
    return Float32Array.from(codes, (code, i) => code * (values[Math.floor(i / factors.blocks)] as number));
  };
  const scales = multiplied('scaleFactors', 'scaleCodes');
  if (factors.minima === undefined) return { scales, offsets: undefined };
  const { middle } = factors.minima;
  const minima = multiplied('minimumFactors', 'minimumCodes');
  const sign = factors.blocks === 1 ? 1 : -1;
  return { scales, offsets: scales.map((scale, i) => middle * scale + sign * (minima[i] as number)) };
}

describe('forms of matrices', () => {
  it('exist for every type that can be read', () => {
    expect([...supportedTensorTypes].sort()).toEqual([...dequantizableTypes].sort());
  });

  it.each(['F16', 'F32', 'BF16'] as const)('%s: products have its values as float32', (type) => {
    const { values, parts } = encode(type, productEncoding(tensorOf(type), 'fp32'));
    expect(new Float32Array((parts[0] as Uint8Array).slice().buffer)).toEqual(values);
  });

  it('F16: a table has its bits as they are', () => {
    const encoding = tableEncoding(tensorOf('F16'), 'fp32');
    expect(encode('F16', encoding).parts[0]).toEqual(randomTensorBytes(createRandom(3), 'F16', [rowLength, rows]));
  });

  describe.each(quantizedTypes)('%s', (type) => {
    it.each(['a8', 'fp32'] as const)('holds every weight without loss, %s', (precision) => {
      const encoding = productEncoding(tensorOf(type), precision) as BlockQuantized;
      const { values, components } = encode(type, encoding);
      const decoded = decode(components, encoding);
      const maxAbs = values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
      expect(maxAbs).toBeGreaterThan(0.01);
      for (const [i, value] of values.entries()) {
        expect(Math.abs((decoded[i] as number) - value)).toBeLessThan(maxAbs * 2 ** -22);
      }
    });

    it('has the scales and offsets of its blocks bit by bit, whatever they are stored as', () => {
      const encoding = productEncoding(tensorOf(type), 'a8') as BlockQuantized;
      const { components } = encode(type, encoding);
      const floats = (name: ComponentName) => new Float32Array((components.get(name) as Uint8Array).slice().buffer);
      const bytes = randomTensorBytes(createRandom(3), type, [rowLength, rows]);
      const read = readQuantizedBlocks(type, bytes);
      const { scales, offsets } = scalesOf(components, encoding, floats);
      expect(scales).toEqual(read.scales);
      if (blockLayout(type)?.hasOffsets) expect(offsets).toEqual(read.offsets);
    });

    it('has components of the sizes that are planned', () => {
      for (const encoding of [productEncoding(tensorOf(type), 'fp32'), productEncoding(tensorOf(type), 'a8')]) {
        const planned = componentsOf(encoding, rowLength).map(({ bytesPerRow }) => rows * bytesPerRow);
        expect(encode(type, encoding).parts.map((part) => part.length)).toEqual(planned);
      }
    });
  });

  it('splits 8-bit codes for exact products only', () => {
    expect(productEncoding(tensorOf('Q8_0'), 'fp32')).toMatchObject({ bits: 8, splitNibbles: true });
    expect(productEncoding(tensorOf('Q8_0'), 'a8')).toMatchObject({ bits: 8, splitNibbles: false });
    expect(productEncoding(tensorOf('Q4_0'), 'fp32')).toMatchObject({ bits: 4, splitNibbles: false });
    for (const precision of ['fp32', 'a8', 'w8a8'] as const) {
      expect(tableEncoding(tensorOf('Q8_0'), precision)).toEqual(productEncoding(tensorOf('Q8_0'), precision));
    }
  });

  it('refuses types that it does not know', () => {
    expect(() => productEncoding(tensorOf('IQ1_S'), 'a8')).toThrowError(
      expect.objectContaining({ code: 'unsupported-tensor-type', found: 'IQ1_S' }),
    );
  });
});
