/**
 * Dense attention of one position by ONNX Runtime's own operators, MatMul, Softmax and MatMul, over keys and values
 * that lie as these want them: what our kernels are compared with. The model does not use it.
 */
import { tmpdir } from 'node:os';
import { Graph } from './graph.ts';
import { floatTensor, loadSegment } from './runtime.ts';

export interface DenseOperatorOptions {
  keyValueHeads: number;
  /** Query heads that share a key-value head. */
  group: number;
  headDim: number;
  /** (keyValueHeads, headDim, n): transposed, so that the scores are a plain product. */
  keys: Float32Array;
  /** (keyValueHeads, n, headDim) */
  values: Float32Array;
  threads: number;
}

export interface DenseOperator {
  /** Outputs (keyValueHeads, group, headDim) for queries of that shape, scaled by 1 / sqrt(headDim). */
  attend(queries: Float32Array): Promise<Float32Array>;
  release(): Promise<void>;
}

/** Throws `backend-failed`. */
export async function createDenseOperator(options: DenseOperatorOptions): Promise<DenseOperator> {
  const { keyValueHeads, group, headDim, keys, values, threads } = options;
  const n = values.length / (keyValueHeads * headDim);
  const graph = new Graph('dense attention');
  const rows = [keyValueHeads, group, headDim];
  const shapes = { keys: [keyValueHeads, headDim, n], values: [keyValueHeads, n, headDim] };
  const query = graph.input('queries', 'float32', rows);
  const scores = graph.node('MatMul', [query, graph.input('keys', 'float32', shapes.keys)]);
  const weights = graph.node('Softmax', [scores], { attributes: { axis: -1 } });
  const outputs = graph.node('MatMul', [weights, graph.input('values', 'float32', shapes.values)]);
  graph.output('outputs', outputs, 'float32', rows);
  const segment = await loadSegment(graph, { folder: tmpdir(), threads });
  const cache = { keys: floatTensor(keys, shapes.keys), values: floatTensor(values, shapes.values) };
  return {
    async attend(queries) {
      const found = await segment.run({ queries: floatTensor(queries, rows), ...cache });
      return found.outputs as Float32Array;
    },
    release: () => segment.release(),
  };
}
