/**
 * Dense attention of one position by ONNX Runtime's own operators, over keys and values that lie as these want them:
 * what our kernels are compared with. The model does not use them.
 */
import { floatTensor, int32Tensor } from '#onnx-runtime';
import { Graph } from './graph.ts';
import { loadSegment } from './segment.ts';

/** Shape and threads of a full-attention operator. */
export interface FullAttentionOperatorOptions {
  keyValueHeads: number;
  /** Query heads that share a key-value head. */
  groupSize: number;
  headDim: number;
  /** (keyValueHeads, n, headDim) both. */
  keys: Float32Array;
  values: Float32Array;
  threads: number;
}

/** One of ONNX Runtime's own ways to attend, to compare with. */
export interface FullAttentionOperator {
  /** Outputs (keyValueHeads, group, headDim) for queries of that shape, scaled by 1 / sqrt(headDim). */
  attend(queries: Float32Array): Promise<Float32Array>;
  release(): Promise<void>;
}

type CreateFullAttentionOperator = (options: FullAttentionOperatorOptions) => Promise<FullAttentionOperator>;

/** Every way of attending, by the operators' names. What makes one throws `backend-failed`. */
export const FULL_ATTENTION_OPERATORS = {
  'MatMul-Softmax-MatMul': createMatMulAttention,
  GroupQueryAttention: createGroupQueryAttention,
} as const satisfies Readonly<Record<string, CreateFullAttentionOperator>>;

/** Names of `FULL_ATTENTION_OPERATORS`. */
export type FullAttentionOperatorName = keyof typeof FULL_ATTENTION_OPERATORS;

/** Two products with the softmax between them. Keys are transposed beforehand, so that the scores are a plain product. */
async function createMatMulAttention(options: FullAttentionOperatorOptions): Promise<FullAttentionOperator> {
  const { keyValueHeads, groupSize, headDim, values, threads } = options;
  const n = values.length / (keyValueHeads * headDim);
  const graph = new Graph('dense attention by products');
  const rows = [keyValueHeads, groupSize, headDim];
  const shapes = { keys: [keyValueHeads, headDim, n], values: [keyValueHeads, n, headDim] };
  const query = graph.input('queries', 'float32', rows);
  const scores = graph.node('MatMul', [query, graph.input('keys', 'float32', shapes.keys)]);
  const weights = graph.node('Softmax', [scores], { attributes: { axis: -1 } });
  const outputs = graph.node('MatMul', [weights, graph.input('values', 'float32', shapes.values)]);
  graph.output('outputs', outputs, 'float32', rows);
  const segment = await loadSegment(graph, { weights: undefined, threads });
  const keys = transposeRows(options.keys, keyValueHeads, headDim);
  const cache = { keys: floatTensor(keys, shapes.keys), values: floatTensor(values, shapes.values) };
  return {
    async attend(queries) {
      const results = await segment.run({ queries: floatTensor(queries, rows), ...cache });
      return results.outputs as Float32Array;
    },
    release: () => segment.release(),
  };
}

/**
 * One node. The cache before it and the cache after it are the same tensors, so that it writes the last key in its place
 * and copies nothing.
 */
async function createGroupQueryAttention(options: FullAttentionOperatorOptions): Promise<FullAttentionOperator> {
  const { keyValueHeads, groupSize, headDim, keys, values, threads } = options;
  const n = values.length / (keyValueHeads * headDim);
  const graph = new Graph('dense attention by groups');
  const cacheShape = [1, keyValueHeads, n, headDim];
  const queryShape = [1, 1, keyValueHeads * groupSize * headDim];
  const keyShape = [1, 1, keyValueHeads * headDim];
  const [outputs, presentKeys, presentValues] = graph.nodes(
    'GroupQueryAttention',
    [
      graph.input('queries', 'float32', queryShape),
      graph.input('key', 'float32', keyShape),
      graph.input('value', 'float32', keyShape),
      graph.input('keys', 'float32', cacheShape),
      graph.input('values', 'float32', cacheShape),
      graph.input('last', 'int32', [1]),
      graph.input('length', 'int32', [1]),
    ],
    3,
    {
      domain: 'com.microsoft',
      attributes: { num_heads: keyValueHeads * groupSize, kv_num_heads: keyValueHeads, scale: { float: 1 } },
    },
  ) as [string, string, string];
  graph.output('outputs', outputs, 'float32', queryShape);
  graph.output('presentKeys', presentKeys, 'float32', cacheShape);
  graph.output('presentValues', presentValues, 'float32', cacheShape);
  const segment = await loadSegment(graph, { weights: undefined, threads });
  const cache = { keys: floatTensor(keys, cacheShape), values: floatTensor(values, cacheShape) };
  const lastRows = (rows: Float32Array) => {
    const heads = Array.from({ length: keyValueHeads }, (_, head) =>
      rows.subarray(((head + 1) * n - 1) * headDim, (head + 1) * n * headDim),
    );
    return floatTensor(Float32Array.from(heads.flatMap((row) => [...row])), keyShape);
  };
  const inputs = {
    key: lastRows(keys),
    value: lastRows(values),
    ...cache,
    last: int32Tensor(Int32Array.of(n - 1), [1]),
    length: int32Tensor(Int32Array.of(n), [1]),
  };
  const targets = { presentKeys: cache.keys, presentValues: cache.values };
  return {
    async attend(queries) {
      const results = await segment.run({ queries: floatTensor(queries, queryShape), ...inputs }, targets);
      return results.outputs as Float32Array;
    },
    release: () => segment.release(),
  };
}

/** (heads, n, d) as (heads, d, n). */
function transposeRows(rows: Float32Array, heads: number, d: number): Float32Array {
  const n = rows.length / (heads * d);
  const columns = new Float32Array(rows.length);
  for (let head = 0; head < heads; head++) {
    const base = head * n * d;
    for (let j = 0; j < n; j++) {
      for (let i = 0; i < d; i++) columns[base + i * n + j] = rows[base + j * d + i] as number;
    }
  }
  return columns;
}
