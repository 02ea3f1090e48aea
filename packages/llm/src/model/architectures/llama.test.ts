/** What a file must have to be run as a llama; what the graphs compute is tested in transformer-segments.test.ts. */
import { describe, expect, it } from 'vitest';
import { useTestFiles } from '../../../test/gguf-files.ts';
import type { WrittenTensor, WrittenValue } from '../../../test/gguf-writer.ts';
import { type TinyLlama, tinyLlama } from '../../../test/tiny-llama.ts';
import { openGguf } from '../../gguf/index.ts';
import { inspectTransformerSegments } from '../transformer-segments.ts';

const files = useTestFiles();

async function inspect(options: TinyLlama) {
  await using gguf = await openGguf(await files.save(tinyLlama(options)));
  return inspectTransformerSegments(gguf, 'a8').config;
}

const u32 = (value: number): WrittenValue => ({ type: 'u32', value });
const f32 = (value: number): WrittenValue => ({ type: 'f32', value });
const text = (value: string): WrittenValue => ({ type: 'string', value });

const without =
  (name: string) =>
  (tensors: WrittenTensor[]): WrittenTensor[] =>
    tensors.filter((tensor) => tensor.name !== name);
const reshaped =
  (name: string, dimensions: number[]) =>
  (tensors: WrittenTensor[]): WrittenTensor[] =>
    tensors.map((tensor) => (tensor.name === name ? { ...tensor, dimensions } : tensor));

describe('a llama file', () => {
  it('may leave out what follows from the rest', async () => {
    const metadata = {
      'llama.attention.head_count_kv': undefined,
      'llama.rope.dimension_count': undefined,
      'llama.rope.freq_base': undefined,
      'llama.vocab_size': undefined,
    };
    const edit = (tensors: WrittenTensor[]) =>
      tensors.map((tensor) => (/attn_[kv]\.weight/.test(tensor.name) ? { ...tensor, dimensions: [256, 256] } : tensor));
    expect(await inspect({ metadata, edit })).toMatchObject({
      keyValueHeads: 4,
      ropeDimensions: 64,
      ropeTheta: 10_000,
      vocabularySize: 300,
    });
  });

  it('may have key-value heads as an array of equal numbers, one for each layer', async () => {
    const counts = (value: number[]): WrittenValue => ({ type: 'array', of: 'i32', value });
    const load = (value: number[]) => inspect({ metadata: { 'llama.attention.head_count_kv': counts(value) } });
    expect(await load([2, 2])).toMatchObject({ keyValueHeads: 2 });
    await expect(load([2, 4])).rejects.toMatchObject({ code: 'unsupported-architecture' });
    await expect(load([2])).rejects.toMatchObject({ code: 'gguf-invalid' });
  });

  it('may have tables of angles that old converters wrote', async () => {
    const leftover: WrittenTensor = { name: 'blk.0.attn_rot_embd.weight', type: 'F32', dimensions: [32] };
    expect(await inspect({ edit: (tensors) => [...tensors, leftover] })).toMatchObject({ layers: 2 });
  });

  const refused: [string, TinyLlama, { code: string; found?: unknown }][] = [
    [
      'another architecture',
      { metadata: { 'general.architecture': text('mamba') } },
      { code: 'unsupported-architecture', found: '"mamba"' },
    ],
    ['no architecture', { metadata: { 'general.architecture': undefined } }, { code: 'metadata-missing' }],
    ['no layers', { metadata: { 'llama.block_count': undefined } }, { code: 'metadata-missing' }],
    ['zero layers', { metadata: { 'llama.block_count': u32(0) } }, { code: 'gguf-invalid', found: 0 }],
    ['billions of layers', { metadata: { 'llama.block_count': u32(4e9) } }, { code: 'gguf-invalid', found: 4e9 }],
    ['more layers than tensors', { metadata: { 'llama.block_count': u32(3) } }, { code: 'tensor-missing' }],
    ['fewer layers than tensors', { metadata: { 'llama.block_count': u32(1) } }, { code: 'unsupported-architecture' }],
    ['an absurd width', { metadata: { 'llama.embedding_length': u32(2 ** 31) } }, { code: 'gguf-invalid' }],
    [
      'an absurd context',
      { metadata: { 'llama.context_length': { type: 'u64', value: 2 ** 40 } } },
      { code: 'gguf-invalid' },
    ],
    [
      'heads that do not divide',
      { metadata: { 'llama.attention.head_count': u32(3) } },
      { code: 'gguf-invalid', found: 3 },
    ],
    ['a width in words', { metadata: { 'llama.embedding_length': text('wide') } }, { code: 'gguf-invalid' }],
    [
      'a vocabulary of another size',
      { metadata: { 'llama.vocab_size': u32(301) } },
      { code: 'gguf-invalid', found: 301 },
    ],
    ['values of another size', { metadata: { 'llama.attention.value_length': u32(32) } }, { code: 'gguf-invalid' }],
    ['RoPE over more than a head', { metadata: { 'llama.rope.dimension_count': u32(66) } }, { code: 'gguf-invalid' }],
    ['RoPE over an odd number', { metadata: { 'llama.rope.dimension_count': u32(63) } }, { code: 'gguf-invalid' }],
    ['RoPE of base zero', { metadata: { 'llama.rope.freq_base': f32(0) } }, { code: 'gguf-invalid', found: 0 }],
    [
      'RoPE scaled in an unknown way',
      { metadata: { 'llama.rope.scaling.type': text('su') } },
      { code: 'unsupported-architecture', found: 'su' },
    ],
    ['experts of which none is used', { metadata: { 'llama.expert_count': u32(8) } }, { code: 'metadata-missing' }],
    ['no embedding', { edit: without('token_embd.weight') }, { code: 'tensor-missing' }],
    ['no down projection', { edit: without('blk.1.ffn_down.weight') }, { code: 'tensor-missing' }],
    ['no output norm', { edit: without('output_norm.weight') }, { code: 'tensor-missing' }],
    [
      'a matrix of another shape',
      { edit: reshaped('blk.0.attn_q.weight', [256, 255]) },
      { code: 'tensor-shape-mismatch', found: '256 x 255' },
    ],
    [
      'a norm of another length',
      { edit: reshaped('blk.1.attn_norm.weight', [255]) },
      { code: 'tensor-shape-mismatch', found: '255' },
    ],
    [
      'a tensor that llamas do not have',
      { edit: (tensors) => [...tensors, { name: 'blk.0.attn_q_norm.weight', type: 'F32', dimensions: [64] }] },
      { code: 'unsupported-architecture', found: '"blk.0.attn_q_norm.weight"' },
    ],
    ['a type that cannot be run', { matrices: 'F32', head: 'F64' }, { code: 'unsupported-tensor-type', found: 'F64' }],
  ];
  it.each(refused)('is refused with %s', async (_, options, error) => {
    await expect(inspect(options)).rejects.toMatchObject(error);
  });
});
