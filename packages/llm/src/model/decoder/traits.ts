/**
 * The table that describes a decoder-only transformer. An architecture fills in what sets it apart from Llama. Tensors
 * that a file may have or lack (biases, an LM head of its own, fused queries, keys and values) need no entry.
 */
import type { ModelHeader, RopePairs } from './config.ts';
import type { RopeSpec } from './rope.ts';
import { readRope } from './rope-scaling.ts';
import type { TensorSource } from './tensor-source.ts';

export interface DecoderTraits {
  readonly norm: NormKind;
  /** Where a layer norms: before attention and MLP, after them (what the residual stream gains), or both. */
  readonly normPlacement: 'before' | 'after' | 'both';
  /** Name of the norm before the MLP. */
  readonly feedForwardNorm: string;
  /**
   * Whether the MLP reads the residual stream after the attention, or what the attention itself read: `parallel` through
   * a norm of its own, `parallel-one-norm` through that of the attention.
   */
  readonly block: 'sequential' | 'parallel' | 'parallel-one-norm';
  readonly queryKeyNorm: QueryKeyNorm | undefined;
  /** The values that RoPE turns together: 2i and 2i + 1, or i and i + d / 2. */
  readonly ropePairs: RopePairs;
  /** RoPE of a layer, undefined for none. Layers that share one share the object. */
  readonly rope: (layer: number) => RopeSpec | undefined;
  /** What scores are multiplied by. */
  readonly attentionScale: number;
  /** What queries are multiplied by at a position; undefined for nothing. */
  readonly queryScale: ((position: number) => number) | undefined;
  /** Scores s become cap tanh(s / cap). */
  readonly attentionSoftCap: number | undefined;
  /** Positions that the queries of a layer see, undefined for all. */
  readonly window: (layer: number) => number | undefined;
  /** Whether each query head has a learned score that takes part in the softmax without a value. */
  readonly sinks: boolean;
  readonly activation: Activation;
  /**
   * Whether the MLP is down(act(gate x) * up x), with the gate's matrix apart from or above that of `up`, or
   * down(act(up x)).
   */
  readonly gate: 'apart' | 'fused' | 'none';
  /** In place of an MLP, a mixture of them. */
  readonly experts: ExpertTraits | undefined;
  readonly embeddingScale: number;
  /** What the residual stream gains from attention and MLP is multiplied by this. */
  readonly residualScale: number;
  readonly logitScale: number;
  /** Logits y become cap tanh(y / cap). */
  readonly logitSoftCap: number | undefined;
}

/** RMS norm (arXiv 1910.07467), or layer norm (arXiv 1607.06450). */
export type NormKind = 'rms' | 'layer';

export interface ExpertTraits {
  readonly count: number;
  /** Experts that serve a token. */
  readonly used: number;
  /** Hidden values of each expert. */
  readonly feedForwardSize: number;
  /** Whether the weights of the chosen experts add up to 1. */
  readonly renormalized: boolean;
  /** Experts compute gate sigmoid(alpha gate) (up + beta), with gate and up within the limit. */
  readonly swiglu: { readonly alpha: number; readonly beta: number; readonly limit?: number };
  /** Hidden values of an expert that serves every token, weighted by a sigmoid of its own; undefined for none. */
  readonly sharedSize: number | undefined;
}

/** `gelu` is its approximation by tanh. */
export type Activation = 'silu' | 'gelu';

/** RMS norms of queries and keys, over each head or over all heads together. */
export interface QueryKeyNorm {
  over: 'head' | 'all heads';
  /** Default: `projection`. */
  after?: 'projection' | 'rope';
}

/**
 * Llama (arXiv 2302.13971): RMS norms before attention and MLP, RoPE over neighbouring values (GGUF's order of query and
 * key rows) as the file's metadata says, SwiGLU.
 */
export function llamaTraits(header: ModelHeader, tensors: TensorSource): DecoderTraits {
  const rope = readRope(header, tensors);
  return {
    norm: 'rms',
    normPlacement: 'before',
    feedForwardNorm: 'ffn_norm',
    block: 'sequential',
    queryKeyNorm: undefined,
    ropePairs: 'neighbours',
    rope: () => rope,
    attentionScale: 1 / Math.sqrt(header.headDim),
    queryScale: undefined,
    attentionSoftCap: undefined,
    window: () => undefined,
    sinks: false,
    activation: 'silu',
    gate: 'apart',
    experts: undefined,
    embeddingScale: 1,
    residualScale: 1,
    logitScale: 1,
    logitSoftCap: undefined,
  };
}
