import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { sharedFile } from '../../test/shared.ts';
import { dequantizableTypes, dequantize } from './dequantize.ts';
import { float16Table, float16ToFloat32 } from './float16.ts';
import { openGguf } from './open.ts';
import type { GgmlType } from './types.ts';
import { ggmlBlock } from './types.ts';

/** Written by test/goldens/dequantize.py with the Python `gguf` package. */
const goldens = JSON.parse(
  readFileSync(new URL('../../test/goldens/dequantize.json', import.meta.url), 'utf8'),
) as Record<string, { bytes: string; values: string }>;

const bytesOf = (base64: string) => new Uint8Array(Buffer.from(base64, 'base64'));

describe('dequantize', () => {
  it.each(dequantizableTypes)('gives %s as the gguf package does, bit by bit', (type) => {
    const golden = goldens[type];
    if (golden === undefined) throw new Error(`no golden for ${type}`);
    const values = dequantize(type, bytesOf(golden.bytes));
    expect(values.length).toBe(bytesOf(golden.values).length / 4);
    expect(new Uint8Array(values.buffer)).toEqual(bytesOf(golden.values));
  });

  it.each(dequantizableTypes)('reads %s at an odd offset of a buffer', (type) => {
    const block = ggmlBlock(type).bytes;
    const bytes = bytesOf((goldens[type] as { bytes: string }).bytes);
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    expect(dequantize(type, shifted.subarray(1))).toEqual(dequantize(type, bytes));
    expect(dequantize(type, bytes.subarray(block))).toEqual(dequantize(type, bytes).subarray(ggmlBlock(type).elements));
  });

  it('gives no values for no bytes', () => {
    expect(dequantize('Q4_K', new Uint8Array(0)).length).toBe(0);
  });

  it('refuses part of a block', () => {
    expect(() => dequantize('Q4_0', new Uint8Array(17))).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
  });

  it('refuses a type without a reader', () => {
    const fault = expect.objectContaining({ code: 'unsupported-tensor-type', found: 'IQ1_S' });
    expect(() => dequantize('IQ1_S', new Uint8Array(50))).toThrow(fault);
  });
});

describe('halfToFloat', () => {
  it.each([
    [0x0000, 0],
    [0x8000, -0],
    [0x0001, 2 ** -24],
    [0x03ff, 1023 * 2 ** -24],
    [0x0400, 2 ** -14],
    [0x3c00, 1],
    [0xc000, -2],
    [0x7bff, 65_504],
    [0x7c00, Number.POSITIVE_INFINITY],
    [0xfc00, Number.NEGATIVE_INFINITY],
    [0x7e00, Number.NaN],
  ])('reads %i as %f', (bits, value) => {
    expect(float16ToFloat32(bits)).toBe(value);
    expect(float16Table()[bits]).toBe(value);
  });
});

const model = sharedFile('models/smollm2-135m/smollm2-135m-instruct-q4_1.gguf');

describe.skipIf(model === undefined)('dequantize on a real model', () => {
  // Sum and sum of absolute values in float64 over the first 64 rows, by the Python `gguf` package.
  it.each([
    ['token_embd.weight', 'Q8_0', [-19.373059272766113, 3087.970091819763]],
    ['blk.0.ffn_up.weight', 'Q4_1', [-3.05322265625, 5556.939361572266]],
    ['blk.0.attn_norm.weight', 'F32', [0.6129436492919922, 15.815359115600586]],
  ] as [string, GgmlType, [number, number]][])('reads %s (%s)', async (name, type, [sum, absolute]) => {
    await using file = await openGguf(model as string);
    const tensor = file.tensors.get(name);
    if (tensor === undefined) throw new Error(`no ${name}`);
    expect(tensor.type).toBe(type);
    const rows = tensor.dimensions.length === 1 ? 1 : 64;
    const rowBytes = tensor.byteLength / (tensor.dimensions[1] ?? 1);
    const values = dequantize(type, await file.read(tensor, { offset: 0, byteLength: rows * rowBytes }));
    expect(values.reduce((total, value) => total + value, 0)).toBeCloseTo(sum, 9);
    expect(values.reduce((total, value) => total + Math.abs(value), 0)).toBeCloseTo(absolute, 9);
  });
});
