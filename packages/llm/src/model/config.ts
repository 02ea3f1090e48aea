/**
 * The shape of a model, as its GGUF metadata gives it. Every number is checked before anything is made of it.
 */
import { llmError } from '../errors.ts';
import type { GgufMetadata } from '../gguf/index.ts';

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
  readonly feedForwardSize: number;
  readonly vocabularySize: number;
  /** Tokens that the model was trained for. */
  readonly contextLength: number;
  /** Base of the angles of RoPE. */
  readonly ropeTheta: number;
  /** Leading values of a head that RoPE turns. */
  readonly ropeDimensions: number;
  /** Positions are divided by this before RoPE; 1 for most models. */
  readonly ropeScale: number;
  readonly rmsEpsilon: number;
  /** Whether the head's matrix is the embedding's. */
  readonly tiedEmbeddings: boolean;
}

/** Larger than any model; keeps products of two sizes exact and tables small. */
const MAX_SIZES = { layers: 2 ** 12, heads: 2 ** 12, size: 2 ** 24, context: 2 ** 31 };

/** Reads the keys that decoders with RMS norm and RoPE share; `prefix` is the architecture's name. */
export function readDecoderConfig(
  metadata: GgufMetadata,
  prefix: string,
  tensors: { vocabularySize: number; tiedEmbeddings: boolean },
): ModelConfig {
  const count = (key: string, max: number, fallback?: number) => readCount(metadata, `${prefix}.${key}`, max, fallback);
  const positive = (key: string, fallback?: number) => readPositive(metadata, `${prefix}.${key}`, fallback);

  const hiddenSize = count('embedding_length', MAX_SIZES.size);
  const heads = count('attention.head_count', MAX_SIZES.heads);
  const keyValueHeads = count('attention.head_count_kv', MAX_SIZES.heads, heads);
  requireDivisible(`${prefix}.attention.head_count`, heads, keyValueHeads, 'key-value heads');
  if (!metadata.has(`${prefix}.attention.key_length`)) {
    requireDivisible(`${prefix}.embedding_length`, hiddenSize, heads, 'heads');
  }
  const headDim = count('attention.key_length', MAX_SIZES.size, hiddenSize / heads);
  requireEqual(`${prefix}.attention.value_length`, count('attention.value_length', MAX_SIZES.size, headDim), headDim);
  const ropeDimensions = count('rope.dimension_count', headDim, headDim);
  requireDivisible(`${prefix}.rope.dimension_count`, ropeDimensions, 2, 'values of a pair');
  requireEqual(
    `${prefix}.vocab_size`,
    count('vocab_size', MAX_SIZES.size, tensors.vocabularySize),
    tensors.vocabularySize,
  );
  requireNoExperts(metadata, prefix);

  return {
    architecture: prefix,
    layers: count('block_count', MAX_SIZES.layers),
    hiddenSize,
    heads,
    keyValueHeads,
    headDim,
    feedForwardSize: count('feed_forward_length', MAX_SIZES.size),
    contextLength: count('context_length', MAX_SIZES.context),
    ropeTheta: positive('rope.freq_base', 10_000),
    ropeDimensions,
    ropeScale: readRopeScale(metadata, prefix),
    rmsEpsilon: positive('attention.layer_norm_rms_epsilon'),
    ...tensors,
  };
}

function readCount(metadata: GgufMetadata, key: string, max: number, fallback?: number): number {
  const value = fallback === undefined ? metadata.number(key) : metadata.numberOr(key, fallback);
  if (Number.isSafeInteger(value) && value > 0 && value <= max) return value;
  throw invalidValue(key, value, `a whole number from 1 to ${max}`);
}

function readPositive(metadata: GgufMetadata, key: string, fallback?: number): number {
  const value = fallback === undefined ? metadata.number(key) : metadata.numberOr(key, fallback);
  if (Number.isFinite(value) && value > 0) return value;
  throw invalidValue(key, value, 'a number above 0');
}

/** `linear` divides positions by a factor; YaRN and the like would need a table of their own. */
function readRopeScale(metadata: GgufMetadata, prefix: string): number {
  const type = metadata.stringOr(`${prefix}.rope.scaling.type`, 'none');
  if (type === 'none') return 1;
  if (type === 'linear') return readPositive(metadata, `${prefix}.rope.scaling.factor`, 1);
  throw unsupported(
    `The model scales RoPE in a way that is not supported.`,
    type,
    'whose RoPE is scaled linearly or not',
  );
}

function requireNoExperts(metadata: GgufMetadata, prefix: string): void {
  const experts = metadata.numberOr(`${prefix}.expert_count`, 0);
  if (experts > 0) throw unsupported('The model is a mixture of experts.', `${experts} experts`, 'without experts');
}

function requireDivisible(key: string, value: number, divisor: number, what: string): void {
  if (value % divisor === 0) return;
  throw invalidValue(key, value, `a multiple of the ${divisor} ${what}`);
}

function requireEqual(key: string, value: number, expected: number): void {
  if (value !== expected) throw invalidValue(key, value, `${expected}, as the rest of the file says`);
}

function invalidValue(key: string, found: number, expected: string) {
  return llmError({
    code: 'gguf-invalid',
    problem: `The metadata key ${JSON.stringify(key)} should be ${expected}.`,
    found,
    remedy: 'Fetch or convert the model again: its header contradicts itself.',
  });
}

function unsupported(problem: string, found: string, model: string) {
  return llmError({ code: 'unsupported-architecture', problem, found, remedy: `Use a model ${model}.` });
}
