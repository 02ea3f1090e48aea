/** A llama of two small layers with random weights, as a GGUF file: everything that a large one has, in less than a megabyte. */
import type { GgmlType } from '../src/gguf/index.ts';
import type { WrittenTensor, WrittenValue } from './gguf-writer.ts';
import { writeGguf } from './gguf-writer.ts';
import { createRandom } from './random.ts';
import { randomTensor } from './random-tensor.ts';

export interface TinyLlama {
  /** Type of the layers' matrices. Default: Q4_0. */
  matrices?: GgmlType;
  /** Type of the values' matrix, where another. */
  values?: GgmlType;
  /** Type of the embedding. Default: Q8_0. */
  embedding?: GgmlType;
  /** Type of a head of its own. Default: none, the embedding serves. */
  head?: GgmlType;
  biases?: boolean;
  ropeFactors?: boolean;
  /** In place of the metadata of the same keys; undefined leaves a key out. */
  metadata?: Readonly<Record<string, WrittenValue | undefined>>;
  /** Changes the tensors before they are written. */
  edit?: (tensors: WrittenTensor[]) => WrittenTensor[];
}

export const tiny = {
  layers: 2,
  hiddenSize: 256,
  heads: 4,
  keyValueHeads: 2,
  headDim: 64,
  feedForwardSize: 512,
  vocabularySize: 300,
  contextLength: 128,
} as const;

const u32 = (value: number): WrittenValue => ({ type: 'u32', value });
const f32 = (value: number): WrittenValue => ({ type: 'f32', value });
const text = (value: string): WrittenValue => ({ type: 'string', value });

export function tinyLlama(options: TinyLlama = {}): Buffer {
  const metadata: Record<string, WrittenValue | undefined> = {
    'general.architecture': text('llama'),
    'llama.block_count': u32(tiny.layers),
    'llama.context_length': u32(tiny.contextLength),
    'llama.embedding_length': u32(tiny.hiddenSize),
    'llama.feed_forward_length': u32(tiny.feedForwardSize),
    'llama.attention.head_count': u32(tiny.heads),
    'llama.attention.head_count_kv': u32(tiny.keyValueHeads),
    'llama.attention.layer_norm_rms_epsilon': f32(1e-5),
    'llama.rope.freq_base': f32(10_000),
    'llama.rope.dimension_count': u32(tiny.headDim),
    'llama.vocab_size': u32(tiny.vocabularySize),
    ...options.metadata,
  };
  const { edit = (tensors) => tensors } = options;
  return writeGguf({
    metadata: Object.entries(metadata).filter((entry): entry is [string, WrittenValue] => entry[1] !== undefined),
    tensors: edit(tinyTensors(options)),
  });
}

function tinyTensors({ matrices = 'Q4_0', values = matrices, embedding = 'Q8_0', ...options }: TinyLlama) {
  const random = createRandom(7);
  const { hiddenSize: hidden, heads, keyValueHeads, headDim, feedForwardSize: feedForward, vocabularySize } = tiny;
  const tensors: WrittenTensor[] = [];
  const matrix = (name: string, type: GgmlType, from: number, to: number) => {
    tensors.push(randomTensor(random, `${name}.weight`, type, [from, to]));
    if (options.biases && name.includes('attn')) tensors.push(randomTensor(random, `${name}.bias`, 'F32', [to]));
  };
  const norm = (name: string) => tensors.push(randomTensor(random, `${name}.weight`, 'F32', [hidden]));

  matrix('token_embd', embedding, hidden, vocabularySize);
  for (let layer = 0; layer < tiny.layers; layer++) {
    const block = `blk.${layer}`;
    norm(`${block}.attn_norm`);
    matrix(`${block}.attn_q`, matrices, hidden, heads * headDim);
    matrix(`${block}.attn_k`, matrices, hidden, keyValueHeads * headDim);
    matrix(`${block}.attn_v`, values, hidden, keyValueHeads * headDim);
    matrix(`${block}.attn_output`, matrices, heads * headDim, hidden);
    norm(`${block}.ffn_norm`);
    matrix(`${block}.ffn_gate`, matrices, hidden, feedForward);
    matrix(`${block}.ffn_up`, matrices, hidden, feedForward);
    matrix(`${block}.ffn_down`, matrices, feedForward, hidden);
  }
  norm('output_norm');
  if (options.head !== undefined) matrix('output', options.head, hidden, vocabularySize);
  if (options.ropeFactors) tensors.push(factors(headDim / 2));
  return tensors;
}

/** 1, 1.25, 1.5, ... */
function factors(length: number): WrittenTensor {
  const data = new Uint8Array(Float32Array.from({ length }, (_, i) => 1 + i / 4).buffer);
  return { name: 'rope_freqs.weight', type: 'F32', dimensions: [length], data };
}
