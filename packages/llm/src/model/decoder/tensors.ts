/** The tensors of a decoder by their parts in it, found by GGUF's names and checked against the header's sizes. */
import type { GgufTensor } from '../../gguf/index.ts';
import type { ExpertTensors, Linear } from '../../onnx/index.ts';
import type { ModelHeader } from './config.ts';
import type { TensorSource } from './tensor-source.ts';
import type { DecoderTraits, ExpertTraits } from './traits.ts';

/** Gains, and for layer norms biases. */
export interface Norm {
  readonly gain: GgufTensor;
  readonly bias: GgufTensor | undefined;
}

export interface LayerTensors {
  readonly attention: AttentionTensors;
  readonly feedForward: FeedForwardTensors;
}

export interface AttentionTensors {
  readonly norm: Norm | undefined;
  /** Matrices whose products are queries, keys and values, one after the other. */
  readonly queryKeyValue: readonly Linear[];
  readonly queryNorm: Norm | undefined;
  readonly keyNorm: Norm | undefined;
  readonly output: Linear;
  readonly postNorm: Norm | undefined;
}

export interface FeedForwardTensors {
  readonly norm: Norm | undefined;
  readonly mlp: MlpTensors | MixtureTensors;
  readonly postNorm: Norm | undefined;
}

export interface MlpTensors {
  /** Matrices whose products are the gate, where there is one, and what it is multiplied by. */
  readonly gateAndUp: readonly Linear[];
  readonly down: Linear;
}

export interface MixtureTensors {
  /** Scores of the experts. */
  readonly router: Linear;
  readonly experts: ExpertTensors;
  /** The expert that serves every token, and the scores of its weight. */
  readonly shared: { readonly mlp: MlpTensors; readonly gate: Linear } | undefined;
}

export interface DecoderTensors {
  readonly embedding: GgufTensor;
  readonly layers: readonly LayerTensors[];
  readonly outputNorm: Norm;
  readonly lmHead: Linear;
}

/** Throws `tensor-missing` and `tensor-shape-mismatch`. */
export function findDecoderTensors(source: TensorSource, header: ModelHeader, traits: DecoderTraits): DecoderTensors {
  const { layers, hiddenSize, vocabularySize } = header;
  const embedding = source.get('token_embd.weight', [hiddenSize, vocabularySize]);
  return {
    embedding,
    layers: Array.from({ length: layers }, (_, layer) => ({
      attention: attentionTensors(source, header, traits, layer),
      feedForward: feedForwardTensors(source, header, traits, layer),
    })),
    outputNorm: norm(source, 'output_norm', hiddenSize, traits),
    lmHead: {
      weight: source.find('output.weight', [hiddenSize, vocabularySize]) ?? embedding,
      bias: source.find('output.bias', [vocabularySize]),
    },
  };
}

function attentionTensors(
  source: TensorSource,
  { hiddenSize, heads, keyValueHeads, headDim }: ModelHeader,
  traits: DecoderTraits,
  layer: number,
): AttentionTensors {
  const block = `blk.${layer}`;
  const [queryWidth, keyWidth] = [heads * headDim, keyValueHeads * headDim];
  const { normPlacement, queryKeyNorm } = traits;
  const headNorm = (part: string, width: number) =>
    queryKeyNorm && norm(source, `${block}.${part}`, queryKeyNorm.over === 'head' ? headDim : width, traits);
  return {
    norm: normPlacement === 'after' ? undefined : norm(source, `${block}.attn_norm`, hiddenSize, traits),
    queryKeyValue: source.has(`${block}.attn_qkv.weight`)
      ? [fused(source, `${block}.attn_qkv`, hiddenSize, [queryWidth, keyWidth, keyWidth])]
      : [
          matrix(source, `${block}.attn_q`, hiddenSize, queryWidth),
          matrix(source, `${block}.attn_k`, hiddenSize, keyWidth),
          matrix(source, `${block}.attn_v`, hiddenSize, keyWidth),
        ],
    queryNorm: headNorm('attn_q_norm', queryWidth),
    keyNorm: headNorm('attn_k_norm', keyWidth),
    output: matrix(source, `${block}.attn_output`, queryWidth, hiddenSize),
    postNorm: normPlacement === 'before' ? undefined : norm(source, `${block}.post_attention_norm`, hiddenSize, traits),
  };
}

function feedForwardTensors(
  source: TensorSource,
  header: ModelHeader,
  traits: DecoderTraits,
  layer: number,
): FeedForwardTensors {
  const block = `blk.${layer}`;
  const { hiddenSize, feedForwardSizes } = header;
  const { normPlacement, experts } = traits;
  const hasNorm = normPlacement !== 'after' && traits.block !== 'parallel-one-norm';
  return {
    norm: hasNorm ? norm(source, `${block}.${traits.feedForwardNorm}`, hiddenSize, traits) : undefined,
    mlp:
      experts === undefined
        ? mlpTensors(source, hiddenSize, traits.gate, block, '', feedForwardSizes[layer] as number)
        : mixtureTensors(source, hiddenSize, experts, block),
    postNorm: normPlacement === 'before' ? undefined : norm(source, `${block}.post_ffw_norm`, hiddenSize, traits),
  };
}

function mlpTensors(
  source: TensorSource,
  hiddenSize: number,
  gate: DecoderTraits['gate'],
  block: string,
  suffix: string,
  width: number,
): MlpTensors {
  const up = (sizes: readonly number[]) => fused(source, `${block}.ffn_up${suffix}`, hiddenSize, sizes);
  return {
    gateAndUp: {
      apart: () => [matrix(source, `${block}.ffn_gate${suffix}`, hiddenSize, width), up([width])],
      fused: () => [up([width, width])],
      none: () => [up([width])],
    }[gate](),
    down: matrix(source, `${block}.ffn_down${suffix}`, width, hiddenSize),
  };
}

function mixtureTensors(
  source: TensorSource,
  hiddenSize: number,
  experts: ExpertTraits,
  block: string,
): MixtureTensors {
  const { count, feedForwardSize, sharedSize } = experts;
  const matrices = (part: string, from: number, to: number) =>
    source.get(`${block}.ffn_${part}_exps.weight`, [from, to, count]);
  const biases = (part: string, to: number) => source.find(`${block}.ffn_${part}_exps.bias`, [to, count]);
  return {
    router: matrix(source, `${block}.ffn_gate_inp`, hiddenSize, count),
    experts: {
      gate: matrices('gate', hiddenSize, feedForwardSize),
      up: matrices('up', hiddenSize, feedForwardSize),
      down: matrices('down', feedForwardSize, hiddenSize),
      gateBias: biases('gate', feedForwardSize),
      upBias: biases('up', feedForwardSize),
      downBias: biases('down', hiddenSize),
    },
    shared:
      sharedSize === undefined
        ? undefined
        : {
            mlp: mlpTensors(source, hiddenSize, 'apart', block, '_shexp', sharedSize),
            gate: matrix(source, `${block}.ffn_gate_inp_shexp`, hiddenSize, 1),
          },
  };
}

function matrix(source: TensorSource, name: string, from: number, to: number): Linear {
  return fused(source, name, from, [to]);
}

/** Matrices of the given numbers of rows, one under the other in one tensor. */
function fused(source: TensorSource, name: string, from: number, sizes: readonly number[]): Linear {
  const rows = sizes.reduce((sum, size) => sum + size, 0);
  return {
    weight: source.get(`${name}.weight`, [from, rows]),
    bias: source.find(`${name}.bias`, [rows]),
    parts: sizes,
  };
}

function norm(source: TensorSource, name: string, width: number, { norm: kind }: DecoderTraits): Norm {
  return {
    gain: source.get(`${name}.weight`, [width]),
    bias: kind === 'layer' ? source.find(`${name}.bias`, [width]) : undefined,
  };
}
