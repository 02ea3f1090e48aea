/** The MLP of a layer, or the mixture of them. */
import { type Graph, linear, mixtureOfExperts, type SegmentBuilder, type Value } from '../../onnx/index.ts';
import type { Decoder } from './decoder.ts';
import type { FeedForwardTensors, MixtureTensors, MlpTensors } from './tensors.ts';
import type { Activation, ExpertTraits } from './traits.ts';

/** x (tokens, hiddenSize) -> (tokens, hiddenSize) */
export function feedForward(builder: SegmentBuilder, decoder: Decoder, { mlp }: FeedForwardTensors, x: Value): Value {
  return 'router' in mlp ? mixture(builder, decoder, mlp, x) : dense(builder, mlp, decoder.traits.activation, x);
}

function dense(builder: SegmentBuilder, { gateAndUp, down }: MlpTensors, activation: Activation, x: Value): Value {
  const { graph } = builder;
  const [first, up] = linear(builder, x, gateAndUp) as [Value, Value?];
  const activated = activate(graph, first, activation);
  const hidden = up === undefined ? activated : graph.node('Mul', [activated, up]);
  const [output] = linear(builder, hidden, [down]) as [Value];
  return output;
}

function activate(graph: Graph, values: Value, activation: Activation): Value {
  if (activation === 'gelu') return graph.node('FastGelu', [values], { domain: 'com.microsoft' });
  // QuickGelu is x sigmoid(alpha x): SiLU in one node.
  return graph.node('QuickGelu', [values], { domain: 'com.microsoft', attributes: { alpha: { float: 1 } } });
}

function mixture(
  builder: SegmentBuilder,
  { config, traits }: Decoder,
  { router, experts, shared }: MixtureTensors,
  x: Value,
): Value {
  const { graph } = builder;
  const [scores] = linear(builder, x, [router]) as [Value];
  const options = { ...(traits.experts as ExpertTraits), hiddenSize: config.hiddenSize };
  const routed = mixtureOfExperts(builder, x, scores, experts, options);
  if (shared === undefined) return routed;
  const [sharedScore] = linear(builder, x, [shared.gate]) as [Value];
  const output = dense(builder, shared.mlp, traits.activation, x);
  return graph.node('Add', [routed, graph.node('Mul', [output, graph.node('Sigmoid', [sharedScore])])]);
}
