/** The MLP of a layer. */
import { type Graph, linear, type SegmentBuilder, type Value } from '../../onnx/index.ts';
import type { Decoder } from './decoder.ts';
import type { FeedForwardTensors } from './tensors.ts';
import type { Activation } from './traits.ts';

/** x (tokens, hiddenSize) -> (tokens, hiddenSize) */
export function feedForward(
  builder: SegmentBuilder,
  { traits }: Decoder,
  { gateAndUp, down }: FeedForwardTensors,
  x: Value,
): Value {
  const { graph } = builder;
  const [first, up] = linear(builder, x, gateAndUp) as [Value, Value?];
  const activated = activate(graph, first, traits.activation);
  const hidden = up === undefined ? activated : graph.node('Mul', [activated, up]);
  const [output] = linear(builder, hidden, [down]) as [Value];
  return output;
}

function activate(graph: Graph, values: Value, activation: Activation): Value {
  if (activation === 'gelu') return graph.node('FastGelu', [values], { domain: 'com.microsoft' });
  // QuickGelu is x sigmoid(alpha x): SiLU in one node.
  return graph.node('QuickGelu', [values], { domain: 'com.microsoft', attributes: { alpha: { float: 1 } } });
}
