/**
 * Llama and what is built like it (SmolLM, TinyLlama, ...): RMS norm before attention and before a SwiGLU MLP, RoPE
 * over neighbouring pairs (GGUF's order of query and key rows), grouped key-value heads, an own or a tied head.
 */
import type { GgufTensor } from '../../gguf/index.ts';
import {
  embeddingLookup,
  Graph,
  type Linear,
  linear,
  type MatmulShape,
  type SegmentBuilder,
  type Value,
  vector,
  WeightsPlan,
} from '../../onnx/index.ts';
import { type ModelConfig, readDecoderConfig } from '../config.ts';
import { createTensorSource, missing, type TensorSource } from '../tensor-source.ts';
import { type Architecture, io } from './architecture.ts';

const name = 'llama';

const llama: Architecture = {
  name,

  readConfig(gguf) {
    const embedding = gguf.tensors.get('token_embd.weight');
    if (embedding === undefined) throw missing('token_embd.weight');
    const vocabularySize = embedding.dimensions[1] ?? 1;
    return readDecoderConfig(gguf.metadata, name, {
      vocabularySize,
      tiedEmbeddings: !gguf.tensors.has('output.weight'),
    });
  },

  buildGraphs(gguf, config, precision, int8Signedness) {
    const tensors = modelTensors(createTensorSource(gguf), config);
    const weights = new WeightsPlan();
    const build = (index: number, matmulShape: MatmulShape) => {
      const graph = new Graph(`segment ${index} of ${config.layers}, ${matmulShape} rows`);
      buildSegment({ graph, weights, precision, matmulShape, int8Signedness }, config, tensors, index);
      return graph;
    };
    const segments = Array.from({ length: config.layers + 1 }, (_, index) => build(index, 'gemv'));
    // Floats are multiplied in one way only.
    const hasQuantized = weights.matrices.some(
      ({ encoding, uses }) => encoding.kind === 'blocks' && uses.has('product'),
    );
    const wide =
      precision === 'w8a8' && hasQuantized ? segments.slice(0, -1).map((_, index) => build(index, 'gemm')) : [];
    return { segments, wide, weights, ropeFactors: tensors.ropeFactors };
  },
};

export default llama;

interface LayerTensors {
  attentionNorm: GgufTensor;
  query: Linear;
  key: Linear;
  value: Linear;
  attentionOutput: Linear;
  feedForwardNorm: GgufTensor;
  gate: Linear;
  up: Linear;
  down: Linear;
}

interface ModelTensors {
  embedding: GgufTensor;
  layers: readonly LayerTensors[];
  outputNorm: GgufTensor;
  lmHead: GgufTensor;
  ropeFactors: GgufTensor | undefined;
}

function modelTensors(source: TensorSource, config: ModelConfig): ModelTensors {
  const { layers, hiddenSize, vocabularySize, ropeDimensions } = config;
  const embedding = source.get('token_embd.weight', [hiddenSize, vocabularySize]);
  const tensors = {
    embedding,
    layers: Array.from({ length: layers }, (_, layer) => layerTensors(source, config, `blk.${layer}`)),
    outputNorm: source.get('output_norm.weight', [hiddenSize]),
    lmHead: source.find('output.weight', [hiddenSize, vocabularySize]) ?? embedding,
    ropeFactors: source.find('rope_freqs.weight', [ropeDimensions / 2]),
  };
  source.requireAllUsed();
  return tensors;
}

function layerTensors(source: TensorSource, config: ModelConfig, block: string): LayerTensors {
  const { hiddenSize, heads, keyValueHeads, headDim, feedForwardSize } = config;
  const matrix = (part: string, from: number, to: number): Linear => ({
    weight: source.get(`${block}.${part}.weight`, [from, to]),
    bias: source.find(`${block}.${part}.bias`, [to]),
  });
  return {
    attentionNorm: source.get(`${block}.attn_norm.weight`, [hiddenSize]),
    query: matrix('attn_q', hiddenSize, heads * headDim),
    key: matrix('attn_k', hiddenSize, keyValueHeads * headDim),
    value: matrix('attn_v', hiddenSize, keyValueHeads * headDim),
    attentionOutput: matrix('attn_output', heads * headDim, hiddenSize),
    feedForwardNorm: source.get(`${block}.ffn_norm.weight`, [hiddenSize]),
    gate: matrix('ffn_gate', hiddenSize, feedForwardSize),
    up: matrix('ffn_up', hiddenSize, feedForwardSize),
    down: matrix('ffn_down', feedForwardSize, hiddenSize),
  };
}

/** Segment `at` of layers + 1: what lies between the attentions of layers `at - 1` and `at`. */
function buildSegment(builder: SegmentBuilder, config: ModelConfig, tensors: ModelTensors, index: number): void {
  const { graph } = builder;
  const previous = tensors.layers[index - 1];
  const next = tensors.layers[index];
  const normGain = next?.attentionNorm ?? tensors.outputNorm;
  const { normed, residual } =
    previous === undefined
      ? embed(builder, config, tensors.embedding, normGain)
      : finishLayer(builder, config, previous, normGain);
  if (next === undefined) {
    const [logits] = linear(builder, normed, [{ weight: tensors.lmHead }]) as [Value];
    graph.output(io.logits, logits, 'float32', ['tokens', config.vocabularySize]);
  } else {
    startLayer(builder, config, next, normed);
    graph.output(io.nextResidual, residual, 'float32', ['tokens', config.hiddenSize]);
  }
}

/** The residual stream, and the same after the norm that comes next: (tokens, hiddenSize) both */
interface ResidualState {
  normed: Value;
  residual: Value;
}

function embed(
  builder: SegmentBuilder,
  { rmsEpsilon }: ModelConfig,
  embedding: GgufTensor,
  normGain: GgufTensor,
): ResidualState {
  const { graph } = builder;
  const tokens = graph.input(io.tokens, 'int32', ['tokens']);
  const residual = embeddingLookup(builder, embedding, tokens);
  const normed = graph.node('SimplifiedLayerNormalization', [residual, vector(builder, normGain)], {
    attributes: { epsilon: { float: rmsEpsilon } },
  });
  return { normed, residual };
}

/** Queries, keys and values of a layer's attention, queries and keys after RoPE. */
function startLayer(builder: SegmentBuilder, config: ModelConfig, layer: LayerTensors, normed: Value): void {
  const { graph } = builder;
  const { heads, keyValueHeads, headDim, ropeDimensions } = config;
  const cos = graph.input(io.cos, 'float32', [1, 'tokens', ropeDimensions / 2]);
  const sin = graph.input(io.sin, 'float32', [1, 'tokens', ropeDimensions / 2]);
  const [query, key, value] = linear(builder, normed, [layer.query, layer.key, layer.value]) as [Value, Value, Value];

  const withRope = (rows: Value, count: number) =>
    graph.node('RotaryEmbedding', [graph.node('Reshape', [rows, graph.integers([1, -1, count * headDim])]), cos, sin], {
      attributes: {
        num_heads: count,
        interleaved: 1,
        ...(ropeDimensions === headDim ? {} : { rotary_embedding_dim: ropeDimensions }),
      },
    });
  graph.output(io.query, withRope(query, heads), 'float32', [1, 'tokens', heads * headDim]);
  graph.output(io.key, withRope(key, keyValueHeads), 'float32', [1, 'tokens', keyValueHeads * headDim]);
  graph.output(io.value, value, 'float32', ['tokens', keyValueHeads * headDim]);
}

/** What follows a layer's attention: its output projection and its MLP; `gain` is that of the norm after it. */
function finishLayer(
  builder: SegmentBuilder,
  config: ModelConfig,
  layer: LayerTensors,
  normGain: GgufTensor,
): ResidualState {
  const { graph } = builder;
  const { heads, headDim, hiddenSize, rmsEpsilon } = config;
  const attentionOutput = graph.input(io.attentionOutput, 'float32', ['tokens', heads * headDim]);
  const residual = graph.input(io.residual, 'float32', ['tokens', hiddenSize]);

  const [projected] = linear(builder, attentionOutput, [layer.attentionOutput]) as [Value];
  const afterAttention = addAndNorm(builder, projected, residual, layer.feedForwardNorm, rmsEpsilon);
  const [gate, up] = linear(builder, afterAttention.normed, [layer.gate, layer.up]) as [Value, Value];
  // QuickGelu is x sigmoid(alpha x): SiLU in one node.
  const activated = graph.node('QuickGelu', [gate], { domain: 'com.microsoft', attributes: { alpha: { float: 1 } } });
  const [update] = linear(builder, graph.node('Mul', [activated, up]), [layer.down]) as [Value];
  return addAndNorm(builder, update, afterAttention.residual, normGain, rmsEpsilon);
}

function addAndNorm(
  builder: SegmentBuilder,
  update: Value,
  residual: Value,
  normGain: GgufTensor,
  epsilon: number,
): ResidualState {
  const { graph } = builder;
  const sum = `${update} + residual`;
  const [normed] = graph.nodes(
    'SkipSimplifiedLayerNormalization',
    [update, residual, vector(builder, normGain)],
    [`${sum}, normed`, '', '', sum],
    { domain: 'com.microsoft', attributes: { epsilon: { float: epsilon } } },
  ) as [Value];
  return { normed, residual: sum };
}
