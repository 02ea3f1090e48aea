/**
 * Exact attention of consecutive positions over a cache in float32 by ONNX Runtime's GroupQueryAttention: for layers that
 * see a window of positions, cap their scores, or have a learned score that takes part in the softmax.
 */
import { floatTensor, int32Tensor } from '#onnx-runtime';
import { Graph, type NodeOptions } from './graph.ts';
import { loadSegment } from './segment.ts';

export interface CachedAttentionShape {
  heads: number;
  keyValueHeads: number;
  headDim: number;
  /** Positions that a query sees, its own included. Default: all. */
  window?: number | undefined;
  /** Scores s become cap tanh(s / cap). Default: no cap. */
  softCap?: number | undefined;
  /** Whether each query head has a learned score without a value. Default: false. */
  sinks?: boolean | undefined;
}

/** Keys and values of one layer: (keyValueHeads, capacity, headDim) each. */
export interface LayerCache {
  readonly keys: Float32Array;
  readonly values: Float32Array;
  readonly capacity: number;
}

export interface CachedAttentionInputs {
  /** Queries after RoPE, whose scores are still to be divided by sqrt(headDim): (count, heads, headDim) */
  queries: Float32Array;
  /** (count, keyValueHeads, headDim) both */
  keys: Float32Array;
  values: Float32Array;
  /** Keys that the cache holds before these. The new ones are written behind them. */
  past: number;
  /** Learned scores of the query heads, where there are any: (heads) */
  sinks?: Float32Array | undefined;
}

export interface CachedAttentionOperator {
  /** Outputs of the heads: (count, heads, headDim) */
  attend(cache: LayerCache, inputs: CachedAttentionInputs): Promise<Float32Array>;
  release(): Promise<void>;
}

/** Throws `backend-failed`. */
export async function createCachedAttentionOperator(
  shape: CachedAttentionShape,
  threads: number,
): Promise<CachedAttentionOperator> {
  const { heads, keyValueHeads, headDim } = shape;
  const segment = await loadSegment(buildGraph(shape), { weights: undefined, threads });
  return {
    async attend({ keys: cachedKeys, values: cachedValues, capacity }, { queries, keys, values, past, sinks }) {
      const count = queries.length / (heads * headDim);
      const total = past + count;
      // The cache before and after are the same tensors, so that the new rows are written in their place.
      const cacheShape = [1, keyValueHeads, capacity, headDim];
      const [pastKeys, pastValues] = [floatTensor(cachedKeys, cacheShape), floatTensor(cachedValues, cacheShape)];
      const inputs = {
        queries: floatTensor(queries, [1, count, heads * headDim]),
        keys: floatTensor(keys, [1, count, keyValueHeads * headDim]),
        values: floatTensor(values, [1, count, keyValueHeads * headDim]),
        past_keys: pastKeys,
        past_values: pastValues,
        last: int32Tensor(Int32Array.of(total - 1), [1]),
        total: int32Tensor(Int32Array.of(total), [1]),
        ...(sinks && { sinks: floatTensor(sinks, [heads]) }),
      };
      const { outputs } = await segment.run(inputs, { present_keys: pastKeys, present_values: pastValues });
      return outputs as Float32Array;
    },
    release: () => segment.release(),
  };
}

function buildGraph({ heads, keyValueHeads, headDim, window, softCap, sinks = false }: CachedAttentionShape): Graph {
  const graph = new Graph('attention over a cache');
  const cacheShape = [1, keyValueHeads, 'capacity', headDim];
  const rows = [1, 'tokens', heads * headDim];
  const newRows = [1, 'tokens', keyValueHeads * headDim];
  const inputs = [
    graph.input('queries', 'float32', rows),
    graph.input('keys', 'float32', newRows),
    graph.input('values', 'float32', newRows),
    graph.input('past_keys', 'float32', cacheShape),
    graph.input('past_values', 'float32', cacheShape),
    graph.input('last', 'int32', [1]),
    graph.input('total', 'int32', [1]),
  ];
  // Tables of RoPE, positions and a bias come between; rows are rotated before.
  if (sinks) inputs.push('', '', '', '', graph.input('sinks', 'float32', [heads]));
  const attributes: NodeOptions['attributes'] = {
    num_heads: heads,
    kv_num_heads: keyValueHeads,
    scale: { float: 1 / Math.sqrt(headDim) },
    ...(window !== undefined && { local_window_size: window }),
    ...(softCap !== undefined && { softcap: { float: softCap } }),
  };
  const [outputs, keys, values] = graph.nodes('GroupQueryAttention', inputs, 3, {
    domain: 'com.microsoft',
    attributes,
  }) as [string, string, string];
  graph.output('outputs', outputs, 'float32', rows);
  graph.output('present_keys', keys, 'float32', cacheShape);
  graph.output('present_values', values, 'float32', cacheShape);
  return graph;
}
