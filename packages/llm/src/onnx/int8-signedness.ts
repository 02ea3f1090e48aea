/**
 * Which bytes ONNX Runtime multiplies without error on this machine, and fastest. Unsigned activations by signed weights
 * is what processors have an instruction for: three times as fast as by unsigned ones where it is there (VNNI). Where
 * it is not, ONNX Runtime adds pairs of their products in 16 bits, which saturate without a word. Neither Node nor ONNX
 * Runtime tells which it is, so a product is made that would saturate.
 */
import { uint8Tensor } from '#onnx-runtime';
import { Graph } from './graph.ts';
import { qGemm } from './matrix-ops.ts';
import { MAX_INT8, ZERO_POINT } from './row-int8.ts';
import { loadSegment } from './segment.ts';
import type { Int8Signedness } from './weight-encoding.ts';

let cached: Promise<Int8Signedness> | undefined;

/** What bytes of weights are to be multiplied as. Found out once; a failure is forgotten. */
export function detectInt8Signedness(): Promise<Int8Signedness> {
  cached ??= probe().catch((error: unknown) => {
    cached = undefined;
    throw error;
  });
  return cached;
}

/** What several kernels' widest steps take at once. */
const MATRIX_SIZE = 64;

async function probe(): Promise<Int8Signedness> {
  const graph = new Graph('largest bytes');
  const bytes = graph.input('bytes', 'uint8', ['rows', MATRIX_SIZE]);
  const weights = graph.bytes('int8', MAX_INT8, [MATRIX_SIZE, MATRIX_SIZE]);
  const ones = graph.floats('ones', [MATRIX_SIZE], new Float32Array(MATRIX_SIZE).fill(1));
  const sums = qGemm(graph, bytes, weights, ones, graph.bytes('int8', ZERO_POINT.signed, [MATRIX_SIZE]));
  graph.output('sums', sums, 'float32', ['rows', MATRIX_SIZE]);
  const segment = await loadSegment(graph, { weights: undefined, threads: 1 });
  try {
    const maxByte = ZERO_POINT.unsigned + MAX_INT8;
    const { sums: products } = await segment.run({
      bytes: uint8Tensor(new Uint8Array(MATRIX_SIZE * MATRIX_SIZE).fill(maxByte), [MATRIX_SIZE, MATRIX_SIZE]),
    });
    return products?.every((sum) => sum === MAX_INT8 ** 2 * MATRIX_SIZE) ? 'signed' : 'unsigned';
  } finally {
    await segment.release();
  }
}
