/**
 * A mixture of experts as one node: ONNX Runtime's QMoE where the weights are blocks that it reads, else its MoE in
 * float32. Both route, run the chosen experts' gated MLPs and add up their outputs.
 */
import type { GgufTensor } from '../gguf/index.ts';
import type { Graph, Value } from './graph.ts';
import { blockScales, componentTensor, type SegmentBuilder } from './matrix-ops.ts';
import { expertEncoding, type WeightEncoding } from './weight-encoding.ts';
import type { PlacedMatrix } from './weights-plan.ts';

/** Three-dimensional matrices of all experts: (experts, rows, row length). */
export interface ExpertTensors {
  readonly gate: GgufTensor;
  readonly up: GgufTensor;
  readonly down: GgufTensor;
  /** (experts, rows) each. */
  readonly gateBias: GgufTensor | undefined;
  readonly upBias: GgufTensor | undefined;
  readonly downBias: GgufTensor | undefined;
}

export interface ExpertOptions {
  count: number;
  /** Experts that serve a token. */
  used: number;
  hiddenSize: number;
  feedForwardSize: number;
  /** Whether the weights of the chosen experts add up to 1. Otherwise they are their shares of all experts. */
  renormalized: boolean;
  /** gate sigmoid(alpha gate) (up + beta), with gate and up within the limit. */
  swiglu: { alpha: number; beta: number; limit?: number | undefined };
}

/** x (tokens, hiddenSize), scores of the experts (tokens, experts) -> (tokens, hiddenSize) */
export function mixtureOfExperts(
  builder: SegmentBuilder,
  x: Value,
  scores: Value,
  { gate, up, down, gateBias, upBias, downBias }: ExpertTensors,
  { count, used, hiddenSize, feedForwardSize, renormalized, swiglu }: ExpertOptions,
): Value {
  const { graph, weights } = builder;
  const encoding = expertEncoding([gate, up, down]);
  const first = weights.place([gate, up], encoding, 'product', true);
  const second = weights.place([down], encoding, 'product');
  const shapes = { first: [count, 2 * feedForwardSize, hiddenSize], second: [count, hiddenSize, feedForwardSize] };
  const bias = (tensors: (GgufTensor | undefined)[], width: number): Value => {
    const present = tensors.filter((tensor) => tensor !== undefined).map(asColumn);
    if (present.length === 0) return '';
    const placed = weights.place(present, { kind: 'floats', element: 'float32' }, 'vector', present.length > 1);
    return componentTensor(graph, placed, 'values', 'float32', [count, width]);
  };
  const biases = [bias([gateBias, upBias], 2 * feedForwardSize), bias([downBias], hiddenSize)] as const;
  const { alpha, beta, limit } = swiglu;
  const attributes = {
    k: used,
    activation_type: { text: 'swiglu' },
    // The rows of gate and up take turns.
    swiglu_fusion: 1,
    activation_alpha: { float: alpha },
    activation_beta: { float: beta },
    ...(limit !== undefined && { swiglu_limit: { float: limit } }),
    normalize_routing_weights: 1,
  };
  const options = { domain: 'com.microsoft', about: gate.name } as const;
  const weighted = (outputs: Value) => (renormalized ? outputs : scaleByShare(graph, outputs, scores, used));
  if (encoding.kind === 'floats') {
    const inputs = [x, scores, floats(builder, first, shapes.first), biases[0], floats(builder, second, shapes.second)];
    return weighted(graph.node('MoE', [...inputs, biases[1]], { ...options, attributes }));
  }
  const [w1, s1] = blocks(builder, first, encoding, shapes.first);
  const [w2, s2] = blocks(builder, second, encoding, shapes.second);
  const outputs = graph.node('QMoE', [x, scores, w1, s1, biases[0], w2, s2, biases[1]], {
    ...options,
    attributes: { ...attributes, expert_weight_bits: encoding.bits, block_size: encoding.blockSize },
  });
  return weighted(outputs);
}

/** Outputs whose weights add up to 1, times the share that the chosen experts have of the softmax over all. */
function scaleByShare(graph: Graph, outputs: Value, scores: Value, used: number): Value {
  const shares = graph.node('Softmax', [scores], { attributes: { axis: -1 } });
  const [chosen] = graph.nodes('TopK', [shares, graph.integers([used])], 2) as [Value];
  const sum = graph.node('ReduceSum', [chosen, graph.integers([-1])], { attributes: { keepdims: 1 } });
  return graph.node('Mul', [outputs, sum]);
}

/** A tensor of biases as rows of one value. */
function asColumn(tensor: GgufTensor): GgufTensor {
  return { ...tensor, dimensions: [1, ...tensor.dimensions] };
}

function floats({ graph }: SegmentBuilder, matrix: PlacedMatrix, shape: readonly number[]): Value {
  return componentTensor(graph, matrix, 'values', 'float32', shape);
}

function blocks(
  { graph }: SegmentBuilder,
  matrix: PlacedMatrix,
  encoding: Extract<WeightEncoding, { kind: 'blocks' }>,
  [count, rows, rowLength]: readonly number[],
): readonly [Value, Value] {
  const [experts, outputs, inputs] = [count as number, rows as number, rowLength as number];
  const { bits, blockSize } = encoding;
  const scales = blockScales(graph, matrix, encoding);
  return [
    componentTensor(graph, matrix, 'quantized', 'uint8', [experts, outputs, (inputs * bits) / 8]),
    graph.node('Reshape', [scales, graph.integers([experts, outputs, inputs / blockSize])]),
  ];
}
