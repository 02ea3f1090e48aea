/**
 * What an architecture is to the rest: it reads its configuration from a GGUF file and describes its segments. A
 * decoder of L layers is cut at its attentions into L + 1 segments:
 *
 *   first   tokens                             -> query, key, value of layer 0, residual
 *   middle  attended, residual of layer i      -> query, key, value of layer i + 1, residual
 *   last    attended, residual of layer L - 1  -> logits
 *
 * Queries and keys leave a segment after RoPE. Every row (token) goes its own way through a segment.
 */
import type { GgufFile, GgufTensor } from '../../gguf/index.ts';
import type { Graph, Int8Signedness, MatmulPrecision, WeightsPlan } from '../../onnx/index.ts';
import type { ModelConfig } from '../config.ts';

/** Names of the inputs and outputs of segments, with their shapes. */
export const io = {
  /** (tokens), int32 */
  tokens: 'tokens',
  /** Output of the attention: (tokens, heads * headDim) */
  attentionOutput: 'attended',
  /** (tokens, hiddenSize) */
  residual: 'residual',
  /** (1, tokens, ropeDimensions / 2) */
  cos: 'cos',
  sin: 'sin',
  /** (1, tokens, heads * headDim) */
  query: 'query',
  /** (1, tokens, keyValueHeads * headDim) */
  key: 'key',
  /** (tokens, keyValueHeads * headDim) */
  value: 'value',
  /** (tokens, hiddenSize) */
  nextResidual: 'next_residual',
  /** (tokens, vocabularySize) */
  logits: 'logits',
} as const;

export interface DecoderGraphs {
  /** Layers + 1, in order. */
  readonly segments: readonly Graph[];
  /** Of all but the last one, another for many rows at once, where the precision makes a difference; or none. */
  readonly wide: readonly Graph[];
  readonly weights: WeightsPlan;
  /** Divides the frequencies of RoPE: (ropeDimensions / 2) */
  readonly ropeFactors?: GgufTensor | undefined;
}

export interface Architecture {
  /** `general.architecture` of its files. */
  readonly name: string;
  readConfig(gguf: GgufFile): ModelConfig;
  /** `codes` is what bytes of weights are multiplied as. */
  buildGraphs(
    gguf: GgufFile,
    config: ModelConfig,
    precision: MatmulPrecision,
    int8Signedness: Int8Signedness,
  ): DecoderGraphs;
}
