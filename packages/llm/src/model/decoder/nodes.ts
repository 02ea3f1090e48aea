/** Parts that several places of a segment's graph are made of. */
import { type Graph, type SegmentBuilder, type Value, vector } from '../../onnx/index.ts';
import type { Decoder } from './decoder.ts';
import type { Norm } from './tensors.ts';

/** The residual stream, and the same after the norm that comes next: (tokens, hiddenSize) both */
export interface ResidualState {
  normed: Value;
  residual: Value;
}

/** Rows after a norm, or as they are where there is none. */
export function normalize(builder: SegmentBuilder, decoder: Decoder, rows: Value, norm: Norm | undefined): Value {
  if (norm === undefined) return rows;
  const { graph } = builder;
  const operator = decoder.traits.norm === 'rms' ? 'SimplifiedLayerNormalization' : 'LayerNormalization';
  return graph.node(operator, [rows, ...normVectors(builder, norm)], {
    attributes: { epsilon: { float: decoder.epsilon } },
    about: norm.gain.name,
  });
}

/** The residual stream with `update` added, and the same after a norm. */
export function addAndNorm(
  builder: SegmentBuilder,
  decoder: Decoder,
  update: Value,
  residual: Value,
  norm: Norm | undefined,
): ResidualState {
  const { graph } = builder;
  if (norm === undefined) {
    const sum = graph.node('Add', [update, residual]);
    return { normed: sum, residual: sum };
  }
  const operator = decoder.traits.norm === 'rms' ? 'SkipSimplifiedLayerNormalization' : 'SkipLayerNormalization';
  const sum = `${update} + residual`;
  const [normed] = graph.nodes(
    operator,
    [update, residual, ...normVectors(builder, norm)],
    [`${sum}, normed`, '', '', sum],
    { domain: 'com.microsoft', attributes: { epsilon: { float: decoder.epsilon } }, about: norm.gain.name },
  ) as [Value];
  return { normed, residual: sum };
}

function normVectors(builder: SegmentBuilder, { gain, bias }: Norm): Value[] {
  return bias === undefined ? [vector(builder, gain)] : [vector(builder, gain), vector(builder, bias)];
}

/** Values times a constant. */
export function scale(graph: Graph, values: Value, factor: number): Value {
  return factor === 1 ? values : graph.node('Mul', [values, graph.scalar(factor)]);
}

/** cap tanh(values / cap), or the values as they are where there is no cap. */
export function softCap(graph: Graph, values: Value, cap: number | undefined): Value {
  if (cap === undefined) return values;
  return scale(graph, graph.node('Tanh', [scale(graph, values, 1 / cap)]), cap);
}
