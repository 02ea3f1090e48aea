/**
 * Describes the segments of a decoder as graphs. A decoder of L layers is cut at its attentions into L + 1 segments:
 *
 *   first   tokens                             -> query, key, value of layer 0, residual
 *   middle  attended, residual of layer i      -> query, key, value of layer i + 1, residual
 *   last    attended, residual of layer L - 1  -> logits
 *
 * Queries and keys leave a segment after RoPE. Every row (token) goes its own way through a segment.
 */
import {
  type BlockProducts,
  embeddingLookup,
  Graph,
  type Int8Signedness,
  linear,
  type MatmulPrecision,
  type MatmulShape,
  type SegmentBuilder,
  type Value,
  WeightsPlan,
} from '../../onnx/index.ts';
import type { Decoder } from './decoder.ts';
import { feedForward } from './feed-forward.ts';
import { addAndNorm, normalize, type ResidualState, scale, softCap } from './nodes.ts';
import type { LayerTensors, Norm } from './tensors.ts';

/** Names of the inputs and outputs of segments, with their shapes. */
export const io = {
  /** (tokens), int32 */
  tokens: 'tokens',
  /** Output of the attention: (tokens, heads * headDim) */
  attentionOutput: 'attended',
  /** (tokens, hiddenSize) */
  residual: 'residual',
  /** (1, tokens, ropeDimensions / 2), where the layer has RoPE */
  cos: 'cos',
  sin: 'sin',
  /** (tokens, 1), where queries are scaled by their position */
  queryScale: 'query_scale',
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
}

/** How the matrices of a decoder are multiplied. */
export interface DecoderProducts {
  precision: MatmulPrecision;
  int8Signedness: Int8Signedness;
  blockProducts: BlockProducts;
}

/** Throws `unsupported-tensor-type`. */
export function buildGraphs(decoder: Decoder, products: DecoderProducts): DecoderGraphs {
  const { precision } = products;
  const { layers } = decoder.config;
  const weights = new WeightsPlan();
  const build = (index: number, matmulShape: MatmulShape) => {
    const graph = new Graph(`segment ${index} of ${layers}, ${matmulShape} rows`);
    buildSegment({ ...products, graph, weights, matmulShape }, decoder, index);
    return graph;
  };
  const segments = Array.from({ length: layers + 1 }, (_, index) => build(index, 'gemv'));
  // Floats are multiplied in one way only.
  const hasQuantized = weights.matrices.some(({ encoding, uses }) => encoding.kind === 'blocks' && uses.has('product'));
  const wide =
    precision === 'w8a8' && hasQuantized ? segments.slice(0, -1).map((_, index) => build(index, 'gemm')) : [];
  return { segments, wide, weights };
}

/** Segment `index` of layers + 1: what lies between the attentions of layers `index - 1` and `index`. */
function buildSegment(builder: SegmentBuilder, decoder: Decoder, index: number): void {
  const { graph } = builder;
  const { config, tensors } = decoder;
  const [previous, next] = [tensors.layers[index - 1], tensors.layers[index]];
  const nextNorm = next === undefined ? tensors.outputNorm : next.attention.norm;
  const { normed, residual } =
    previous === undefined ? embed(builder, decoder, nextNorm) : finishLayer(builder, decoder, previous, nextNorm);
  if (next === undefined) {
    graph.output(io.logits, logits(builder, decoder, normed), 'float32', ['tokens', config.vocabularySize]);
  } else {
    startLayer(builder, decoder, index, normed);
    graph.output(io.nextResidual, residual, 'float32', ['tokens', config.hiddenSize]);
  }
}

/** The residual stream before the first layer, and the same after its first norm. */
function embed(builder: SegmentBuilder, decoder: Decoder, nextNorm: Norm | undefined): ResidualState {
  const { graph } = builder;
  const tokens = graph.input(io.tokens, 'int32', ['tokens']);
  const rows = embeddingLookup(builder, decoder.tensors.embedding, tokens);
  const residual = scale(graph, rows, decoder.traits.embeddingScale);
  return { residual, normed: normalize(builder, decoder, residual, nextNorm) };
}

/** Queries, keys and values of a layer's attention, queries and keys after RoPE. */
function startLayer(builder: SegmentBuilder, decoder: Decoder, layer: number, normed: Value): void {
  const { graph } = builder;
  const { heads, keyValueHeads, headDim } = decoder.config;
  const { attention } = decoder.tensors.layers[layer] as LayerTensors;
  const [query, key, value] = linear(builder, normed, attention.queryKeyValue) as [Value, Value, Value];
  const position = (rows: Value, count: number, norm: Norm | undefined) =>
    normAndRotate(builder, decoder, { rows, count, norm, layer });
  const queries = scaleQueries(builder, decoder, position(query, heads, attention.queryNorm));
  graph.output(io.query, queries, 'float32', [1, 'tokens', heads * headDim]);
  const keys = position(key, keyValueHeads, attention.keyNorm);
  graph.output(io.key, keys, 'float32', [1, 'tokens', keyValueHeads * headDim]);
  graph.output(io.value, value, 'float32', ['tokens', keyValueHeads * headDim]);
}

interface HeadRows {
  /** (tokens, count * headDim) */
  rows: Value;
  /** Heads. */
  count: number;
  norm: Norm | undefined;
  layer: number;
}

/** Queries or keys of a layer after their norm and RoPE: (1, tokens, count * headDim) */
function normAndRotate(builder: SegmentBuilder, decoder: Decoder, { rows, count, norm, layer }: HeadRows): Value {
  const { graph } = builder;
  const { headDim } = decoder.config;
  const { queryKeyNorm, rope, ropePairs } = decoder.traits;
  const width = count * headDim;
  const perHead = queryKeyNorm?.over === 'head';
  const reshape = (values: Value, shape: readonly number[]) => graph.node('Reshape', [values, graph.integers(shape)]);
  const normed = (values: Value) =>
    norm === undefined
      ? values
      : normalize(builder, decoder, reshape(values, perHead ? [-1, count, headDim] : [-1, width]), norm);
  const spec = rope(layer);
  const rotated = (values: Value) =>
    spec === undefined
      ? values
      : graph.node('RotaryEmbedding', [values, ...rotationInputs(graph, spec.dimensions / 2)], {
          attributes: {
            num_heads: count,
            interleaved: ropePairs === 'neighbours' ? 1 : 0,
            ...(spec.dimensions === headDim ? {} : { rotary_embedding_dim: spec.dimensions }),
          },
        });
  const flat = (values: Value) => reshape(values, [1, -1, width]);
  return queryKeyNorm?.after === 'rope' ? flat(normed(rotated(flat(rows)))) : rotated(flat(normed(rows)));
}

function rotationInputs(graph: Graph, pairs: number): readonly [Value, Value] {
  const input = (name: string) => graph.once(name, () => graph.input(name, 'float32', [1, 'tokens', pairs]));
  return [input(io.cos), input(io.sin)];
}

/** The attention itself divides scores by the root of the head's size; what differs from that goes into the queries. */
function scaleQueries({ graph }: SegmentBuilder, { config, traits }: Decoder, queries: Value): Value {
  const scaled = scale(graph, queries, traits.attentionScale * Math.sqrt(config.headDim));
  if (traits.queryScale === undefined) return scaled;
  return graph.node('Mul', [scaled, graph.input(io.queryScale, 'float32', ['tokens', 1])]);
}

/** What follows a layer's attention: its output projection and its MLP, up to the norm that comes after it. */
function finishLayer(
  builder: SegmentBuilder,
  decoder: Decoder,
  layer: LayerTensors,
  nextNorm: Norm | undefined,
): ResidualState {
  const { graph } = builder;
  const { config, traits } = decoder;
  const attended = graph.input(io.attentionOutput, 'float32', ['tokens', config.heads * config.headDim]);
  const residual = graph.input(io.residual, 'float32', ['tokens', config.hiddenSize]);
  /** What the residual stream gains from a part of the layer. */
  const gain = (values: Value, postNorm: Norm | undefined) =>
    scale(graph, normalize(builder, decoder, values, postNorm), traits.residualScale);

  const [projected] = linear(builder, attended, [layer.attention.output]) as [Value];
  const fromAttention = gain(projected, layer.attention.postNorm);
  if (traits.block !== 'sequential') {
    const input = normalize(builder, decoder, residual, layer.feedForward.norm ?? layer.attention.norm);
    const fromBoth = graph.node('Add', [fromAttention, feedForward(builder, decoder, layer.feedForward, input)]);
    return addAndNorm(builder, decoder, fromBoth, residual, nextNorm);
  }
  const middle = addAndNorm(builder, decoder, fromAttention, residual, layer.feedForward.norm);
  const fromMlp = gain(feedForward(builder, decoder, layer.feedForward, middle.normed), layer.feedForward.postNorm);
  return addAndNorm(builder, decoder, fromMlp, middle.residual, nextNorm);
}

function logits(builder: SegmentBuilder, { tensors, traits }: Decoder, normed: Value): Value {
  const { graph } = builder;
  const [products] = linear(builder, normed, [tensors.lmHead]) as [Value];
  return softCap(graph, scale(graph, products, traits.logitScale), traits.logitSoftCap);
}
