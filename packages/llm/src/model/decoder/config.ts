/** The shape of a model, as its GGUF metadata gives it. Every number is checked before anything is made of it. */
import type { GgufFile } from '../../gguf/index.ts';
import { invalidValue, type ModelKeys, readModelKeys, unsupported } from './model-keys.ts';
import { missingTensor } from './tensor-source.ts';

/** What the attention of a layer does beside a softmax of scaled scores. */
export interface LayerAttention {
  /** A query sees this many positions, its own included; undefined where it sees all before it. */
  readonly window?: number | undefined;
  /** Scores s become cap tanh(s / cap). */
  readonly softCap?: number | undefined;
  /** A learned score of each query head that takes part in the softmax without a value. */
  readonly sinks?: readonly number[] | undefined;
}

export type RopePairs = 'neighbours' | 'halves';

/** For each value of a head the other one of its RoPE pair, itself where RoPE leaves it alone: (headDim). */
export function ropePartners({
  headDim,
  ropeDimensions,
  ropePairs,
}: Pick<ModelConfig, 'headDim' | 'ropeDimensions' | 'ropePairs'>): Int32Array {
  const half = ropeDimensions / 2;
  return Int32Array.from({ length: headDim }, (_, i) => {
    if (i >= ropeDimensions) return i;
    if (ropePairs === 'neighbours') return i ^ 1;
    return i < half ? i + half : i - half;
  });
}

/** The sizes and constants of a model, as its file states them. */
export interface ModelConfig {
  /** `general.architecture` of the file. */
  readonly architecture: string;
  readonly layers: number;
  readonly hiddenSize: number;
  /** Query heads of a layer. */
  readonly heads: number;
  /** Key-value heads of a layer; each serves `heads / keyValueHeads` query heads. */
  readonly keyValueHeads: number;
  readonly headDim: number;
  /** Hidden values of the widest layer's MLP. */
  readonly feedForwardSize: number;
  readonly vocabularySize: number;
  /** Tokens that the model was trained for. */
  readonly contextLength: number;
  /** Base of the angles of RoPE. */
  readonly ropeTheta: number;
  /** Leading values of a head that RoPE turns. */
  readonly ropeDimensions: number;
  /** Which values of a head RoPE turns together: 2j and 2j + 1, or those of two halves. */
  readonly ropePairs: RopePairs;
  /** Whether the LM head's matrix is the embedding's. */
  readonly tiedEmbeddings: boolean;
  /** What sets the attention of each layer apart. */
  readonly layerAttention: readonly LayerAttention[];
}

/** Sizes that a file gives, with the keys that it gives them by. */
export interface ModelHeader extends Omit<ModelConfig, 'layerAttention' | 'ropePairs'> {
  readonly keys: ModelKeys;
  /** Hidden values of the MLP of each layer. */
  readonly feedForwardSizes: readonly number[];
}

/** Larger than any model; keeps products of two sizes exact and tables small. */
const MAX_SIZES = { layers: 2 ** 12, heads: 2 ** 12, size: 2 ** 24, context: 2 ** 24 };

const DEFAULT_ROPE_THETA = 10_000;

/** Reads the keys that all decoders have. Throws `metadata-missing`, `gguf-invalid` and `unsupported-architecture`. */
export function readModelHeader(gguf: GgufFile, architecture: string): ModelHeader {
  const keys = readModelKeys(gguf.metadata, architecture);
  const embedding = gguf.tensors.get('token_embd.weight');
  if (embedding === undefined) throw missingTensor('token_embd.weight');
  const vocabularySize = embedding.dimensions[1] ?? 1;
  const layers = keys.count('block_count', MAX_SIZES.layers);
  const hiddenSize = keys.count('embedding_length', MAX_SIZES.size);
  const heads = sameInAllLayers(
    keys,
    'attention.head_count',
    keys.counts('attention.head_count', layers, MAX_SIZES.heads),
  );
  const keyValueHeads = sameInAllLayers(
    keys,
    'attention.head_count_kv',
    keys.counts('attention.head_count_kv', layers, MAX_SIZES.heads, heads),
  );
  requireDivisible(keys.name('attention.head_count'), heads, keyValueHeads, 'key-value heads');
  if (!keys.has('attention.key_length')) requireDivisible(keys.name('embedding_length'), hiddenSize, heads, 'heads');
  const headDim = keys.count('attention.key_length', MAX_SIZES.size, hiddenSize / heads);
  const valueDim = keys.count('attention.value_length', MAX_SIZES.size, headDim);
  requireEqual(keys.name('attention.value_length'), valueDim, headDim);
  const ropeDimensions = keys.count('rope.dimension_count', headDim, headDim);
  requireDivisible(keys.name('rope.dimension_count'), ropeDimensions, 2, 'values of a pair');
  requireEqual(keys.name('vocab_size'), keys.count('vocab_size', MAX_SIZES.size, vocabularySize), vocabularySize);
  const feedForwardSizes = keys.counts('feed_forward_length', layers, MAX_SIZES.size);
  return {
    architecture,
    keys,
    layers,
    hiddenSize,
    heads,
    keyValueHeads,
    headDim,
    feedForwardSizes,
    feedForwardSize: Math.max(...feedForwardSizes),
    vocabularySize,
    contextLength: keys.count('context_length', MAX_SIZES.context),
    ropeTheta: keys.positive('rope.freq_base', DEFAULT_ROPE_THETA),
    ropeDimensions,
    tiedEmbeddings: !gguf.tensors.has('output.weight'),
  };
}

/** The cache has one shape for all layers. */
function sameInAllLayers(keys: ModelKeys, key: string, values: readonly number[]): number {
  const [first = 0] = values;
  if (values.every((value) => value === first)) return first;
  throw unsupported(
    'The layers of the model have different numbers of heads.',
    `${keys.name(key)}: ${values.join(', ')}`,
  );
}

function requireDivisible(key: string, value: number, divisor: number, what: string): void {
  if (value % divisor !== 0) throw invalidValue(key, value, `a multiple of the ${divisor} ${what}`);
}

function requireEqual(key: string, value: number, expected: number): void {
  if (value !== expected) throw invalidValue(key, value, `${expected}, as the rest of the file says`);
}
