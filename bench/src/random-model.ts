/**
 * Writes a model of real size with random weights, for times and memory: the shape of a model that people have, in the
 * mixture of types that llama.cpp calls Q4_K_M, with a tokenizer of as many tokens.
 *
 *   node --conditions keysieve-source --import tsx bench/src/random-model.ts --shape qwen3-0.6b --out FILE.gguf
 */
import { open } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { ggmlBlock, ggmlByteLength } from '@keysieve/llm';
import { ggufHeader, type WrittenTensor, type WrittenValue } from '../../packages/llm/test/gguf-writer.ts';

interface Shape {
  architecture: 'llama' | 'qwen3';
  layers: number;
  hiddenSize: number;
  feedForwardSize: number;
  heads: number;
  keyValueHeads: number;
  headDim: number;
  vocabularySize: number;
  contextLength: number;
  ropeTheta: number;
}

const SHAPES: Readonly<Record<string, Shape>> = {
  'llama-3.2-1b': {
    architecture: 'llama',
    layers: 16,
    hiddenSize: 2048,
    feedForwardSize: 8192,
    heads: 32,
    keyValueHeads: 8,
    headDim: 64,
    vocabularySize: 128_256,
    contextLength: 131_072,
    ropeTheta: 500_000,
  },
  'qwen3-0.6b': {
    architecture: 'qwen3',
    layers: 28,
    hiddenSize: 1024,
    feedForwardSize: 3072,
    heads: 16,
    keyValueHeads: 8,
    headDim: 128,
    vocabularySize: 151_936,
    contextLength: 40_960,
    ropeTheta: 1_000_000,
  },
};

type StoredType = 'F32' | 'Q4_K' | 'Q6_K';
interface Tensor extends WrittenTensor {
  type: StoredType;
  dimensions: number[];
}

/** The token that ends texts. */
const END = '<|end|>';
/** Standard deviations of values as they are stored: Q6_K's of scale times quant, Q4_K's also less a scale's mean. */
const Q6_SPREAD = 1366;
const Q4_SPREAD = 258;
const Q4_MEAN = 7.5;
/** What queries and keys are larger by, so that scores spread about as far as a trained model's. */
const SCORE_GAIN = 1.5;

const { values } = parseArgs({ options: { shape: { type: 'string' }, out: { type: 'string' } } });
const shape = SHAPES[values.shape ?? ''];
if (shape === undefined || values.out === undefined) {
  console.error(`random-model: give --shape ${Object.keys(SHAPES).join(' or ')}, and --out FILE.gguf`);
  process.exit(2);
}
await writeModel(shape, values.shape as string, values.out);

async function writeModel(shape: Shape, name: string, path: string): Promise<void> {
  const tensors = tensorsOf(shape);
  const header = ggufHeader({ metadata: metadataOf(shape, `random ${name}`), tensors });
  await using file = await open(path, 'w');
  await file.write(header);
  const random = createRandom();
  for (const tensor of tensors) {
    const bytes = randomBytes(tensor, random);
    await file.write(bytes);
    await file.write(Buffer.alloc((32 - (bytes.length % 32)) % 32));
  }
}

function tensorsOf(shape: Shape): Tensor[] {
  const { hiddenSize, feedForwardSize, heads, keyValueHeads, headDim, layers } = shape;
  const tensors: Tensor[] = [];
  const matrix = (name: string, rows: number, columns: number, type: StoredType) =>
    tensors.push({ name: `${name}.weight`, type, dimensions: [columns, rows] });
  const vector = (name: string, length: number) =>
    tensors.push({ name: `${name}.weight`, type: 'F32', dimensions: [length] });
  matrix('token_embd', shape.vocabularySize, hiddenSize, 'Q6_K');
  for (let layer = 0; layer < layers; layer++) {
    const block = `blk.${layer}`;
    const large = takesMoreBits(layer, layers) ? 'Q6_K' : 'Q4_K';
    vector(`${block}.attn_norm`, hiddenSize);
    matrix(`${block}.attn_q`, heads * headDim, hiddenSize, 'Q4_K');
    matrix(`${block}.attn_k`, keyValueHeads * headDim, hiddenSize, 'Q4_K');
    matrix(`${block}.attn_v`, keyValueHeads * headDim, hiddenSize, large);
    matrix(`${block}.attn_output`, hiddenSize, heads * headDim, 'Q4_K');
    if (shape.architecture === 'qwen3') {
      vector(`${block}.attn_q_norm`, headDim);
      vector(`${block}.attn_k_norm`, headDim);
    }
    vector(`${block}.ffn_norm`, hiddenSize);
    matrix(`${block}.ffn_gate`, feedForwardSize, hiddenSize, 'Q4_K');
    matrix(`${block}.ffn_up`, feedForwardSize, hiddenSize, 'Q4_K');
    matrix(`${block}.ffn_down`, hiddenSize, feedForwardSize, large);
  }
  vector('output_norm', hiddenSize);
  return tensors;
}

/** The layers whose values and down projections Q4_K_M keeps in 6 bits (`use_more_bits` of llama.cpp). */
function takesMoreBits(layer: number, layers: number): boolean {
  const eighth = Math.floor(layers / 8);
  return layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2;
}

/** Bytes of a tensor: values of variance 1 / columns, and norms of 1; larger ones for queries and keys. */
function randomBytes({ name, type, dimensions }: Tensor, random: () => number): Uint8Array {
  const bytes = new Uint8Array(ggmlByteLength(type, dimensions));
  const gain = /attn_[qk]/.test(name) ? SCORE_GAIN : 1;
  if (type === 'F32') {
    new Float32Array(bytes.buffer).fill(gain);
    return bytes;
  }
  const words = new Uint32Array(bytes.buffer, 0, bytes.length >>> 2);
  for (let i = 0; i < words.length; i++) words[i] = random();
  const view = new DataView(bytes.buffer);
  const std = gain / Math.sqrt(dimensions[0] as number);
  const stride = ggmlBlock(type).bytes;
  for (let at = 0; at < bytes.length; at += stride) {
    if (type === 'Q6_K') view.setUint16(at + 208, float16(std / Q6_SPREAD), true);
    else {
      view.setUint16(at, float16(std / Q4_SPREAD), true);
      view.setUint16(at + 2, float16((std / Q4_SPREAD) * Q4_MEAN), true);
    }
  }
  return bytes;
}

/** Bits of a positive number in float16, cut. */
function float16(value: number): number {
  const exponent = Math.floor(Math.log2(value));
  if (exponent < -14) return Math.floor(value * 2 ** 24);
  return ((exponent + 15) << 10) | Math.floor((value / 2 ** exponent - 1) * 1024);
}

/** xorshift32 */
function createRandom(): () => number {
  let state = 0x9e37_79b9;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

function metadataOf(shape: Shape, name: string): [string, WrittenValue][] {
  const { architecture } = shape;
  const u32 = (key: string, value: number): [string, WrittenValue] => [
    `${architecture}.${key}`,
    { type: 'u32', value },
  ];
  const f32 = (key: string, value: number): [string, WrittenValue] => [
    `${architecture}.${key}`,
    { type: 'f32', value },
  ];
  const { tokens, merges } = vocabulary(shape.vocabularySize);
  return [
    ['general.architecture', { type: 'string', value: architecture }],
    ['general.name', { type: 'string', value: name }],
    ['general.quantization_version', { type: 'u32', value: 2 }],
    u32('block_count', shape.layers),
    u32('context_length', shape.contextLength),
    u32('embedding_length', shape.hiddenSize),
    u32('feed_forward_length', shape.feedForwardSize),
    u32('attention.head_count', shape.heads),
    u32('attention.head_count_kv', shape.keyValueHeads),
    u32('attention.key_length', shape.headDim),
    u32('attention.value_length', shape.headDim),
    u32('rope.dimension_count', shape.headDim),
    f32('rope.freq_base', shape.ropeTheta),
    f32('attention.layer_norm_rms_epsilon', 1e-6),
    ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }],
    ['tokenizer.ggml.pre', { type: 'string', value: architecture === 'llama' ? 'llama-bpe' : 'qwen2' }],
    ['tokenizer.ggml.tokens', { type: 'array', of: 'string', value: tokens }],
    ['tokenizer.ggml.token_type', { type: 'array', of: 'i32', value: tokens.map((token) => (token === END ? 3 : 1)) }],
    ['tokenizer.ggml.merges', { type: 'array', of: 'string', value: merges }],
    ['tokenizer.ggml.bos_token_id', { type: 'u32', value: tokens.length - 1 }],
    ['tokenizer.ggml.eos_token_id', { type: 'u32', value: tokens.length - 1 }],
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: false }],
  ];
}

/** Byte-level tokens: the bytes, all pairs of them, pairs with a third, and a token that ends texts. */
function vocabulary(size: number): { tokens: string[]; merges: string[] } {
  const bytes = byteCharacters();
  const tokens = [...bytes];
  const merges: string[] = [];
  const add = (left: string, right: string) => {
    if (tokens.length >= size - 1) return;
    tokens.push(left + right);
    merges.push(`${left} ${right}`);
  };
  for (const left of bytes) for (const right of bytes) add(left, right);
  const pairs = tokens.slice(bytes.length);
  for (const pair of pairs) for (const right of bytes) add(pair, right);
  return { tokens: [...tokens, END], merges };
}

/** The characters by which byte-level tokenizers write bytes: printable ones stand for themselves (GPT-2). */
function byteCharacters(): string[] {
  const printable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}
