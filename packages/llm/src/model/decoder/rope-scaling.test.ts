/** How a file's metadata scales RoPE: what llama.cpp reads the same keys as. */
import { describe, expect, it } from 'vitest';
import { useTestFiles } from '../../../test/gguf-files.ts';
import type { WrittenTensor, WrittenValue } from '../../../test/gguf-writer.ts';
import { tinyLlama } from '../../../test/tiny-llama.ts';
import { openGguf } from '../../gguf/index.ts';
import { architectureOf } from '../architectures/index.ts';
import { describeDecoder } from './decoder.ts';
import { type RopeSpec, ropeFactorsFor } from './rope.ts';

const files = useTestFiles();

const u32 = (value: number): WrittenValue => ({ type: 'u32', value });
const f32 = (value: number): WrittenValue => ({ type: 'f32', value });
const text = (value: string): WrittenValue => ({ type: 'string', value });

async function ropeOf(keys: Record<string, WrittenValue>, extra: WrittenTensor[] = []): Promise<RopeSpec> {
  const metadata = Object.fromEntries(Object.entries(keys).map(([key, value]) => [`llama.rope.${key}`, value]));
  const file = tinyLlama({ metadata, edit: (tensors) => [...tensors, ...extra] });
  await using gguf = await openGguf(await files.save(file));
  return describeDecoder(gguf, architectureOf(gguf)).traits.rope(0) as RopeSpec;
}

describe('RoPE of a file', () => {
  it.each([
    ['nothing', {}, { divisor: 1, magnitude: 1 }],
    ['a factor, which is linear without a type', { 'scaling.factor': f32(4) }, { divisor: 4 }],
    ['a linear factor', { 'scaling.type': text('linear'), 'scaling.factor': f32(4) }, { divisor: 4 }],
    ['the old key of a linear factor', { scale_linear: f32(4) }, { divisor: 4 }],
    ['a factor of 0, which stands for none', { 'scaling.factor': f32(0) }, { divisor: 1 }],
    ['a factor that is switched off', { 'scaling.type': text('none'), 'scaling.factor': f32(4) }, { divisor: 1 }],
    ['a magnitude', { 'scaling.attn_factor': f32(1.5) }, { divisor: 1, magnitude: 1.5 }],
  ] as [string, Record<string, WrittenValue>, Partial<RopeSpec>][])('reads %s', async (_, keys, expected) => {
    expect(await ropeOf(keys)).toMatchObject(expected);
  });

  it('reads YaRN, whose magnitude grows with the logarithm of its factor', async () => {
    const keys = { 'scaling.type': text('yarn'), 'scaling.factor': f32(4), 'scaling.attn_factor': f32(2) };
    const rope = await ropeOf({ ...keys, 'scaling.original_context_length': u32(64) });
    expect(rope).toMatchObject({ divisor: 4, yarn: { originalContext: 64, betaFast: 32, betaSlow: 1 } });
    expect(rope.magnitude).toBeCloseTo(2 * (1 + 0.1 * Math.log(4)), 12);
  });

  it('chooses the factors of longrope by the length of the context', async () => {
    const factors = (name: string): WrittenTensor => ({ name: `${name}.weight`, type: 'F32', dimensions: [32] });
    const keys = { 'scaling.type': text('longrope'), 'scaling.original_context_length': u32(64) };
    const { factors: found } = await ropeOf(keys, [factors('rope_factors_short'), factors('rope_factors_long')]);
    if (found === undefined) throw new Error('no factors');
    expect(ropeFactorsFor(found, 64).name).toBe('rope_factors_short.weight');
    expect(ropeFactorsFor(found, 65).name).toBe('rope_factors_long.weight');
  });

  it.each([
    ['a factor below 0', { 'scaling.factor': f32(-1) }],
    ['a magnitude of 0', { 'scaling.attn_factor': f32(0) }],
    ['an original context of 0', { 'scaling.original_context_length': u32(0) }],
  ])('refuses %s', async (_, keys) => {
    await expect(ropeOf(keys)).rejects.toMatchObject({ code: 'gguf-invalid' });
  });
});
