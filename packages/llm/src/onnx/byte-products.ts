/**
 * Which bytes ONNX Runtime multiplies without error on this machine, and fastest. Unsigned activations by signed weights
 * is what processors have an instruction for: three times as fast as by unsigned ones where it is there (VNNI). Where
 * it is not, ONNX Runtime adds pairs of their products in 16 bits, which saturate without a word. Neither Node nor ONNX
 * Runtime tells which it is, so a product is made that would saturate.
 */
import { Graph } from './graph.ts';
import type { ByteCodes } from './matrix-form.ts';
import { qGemm } from './matrix-ops.ts';
import { LARGEST_CODE, zeroCode } from './row-codes.ts';
import { byteTensor, loadSegment } from './runtime.ts';

let known: Promise<ByteCodes> | undefined;

/** What bytes of weights are to be multiplied as. Found out once; a failure is forgotten. */
export function exactByteCodes(): Promise<ByteCodes> {
  known ??= findOut().catch((error: unknown) => {
    known = undefined;
    throw error;
  });
  return known;
}

/** As many as several kernels' widest steps take at once. */
const SIDE = 64;

async function findOut(): Promise<ByteCodes> {
  const graph = new Graph('largest bytes');
  const bytes = graph.input('bytes', 'uint8', ['rows', SIDE]);
  const weights = graph.bytes('int8', LARGEST_CODE, [SIDE, SIDE]);
  const ones = graph.floats('ones', [SIDE], new Float32Array(SIDE).fill(1));
  const sums = qGemm(graph, bytes, weights, ones, graph.bytes('int8', zeroCode.signed, [SIDE]));
  graph.output('sums', sums, 'float32', ['rows', SIDE]);
  const segment = await loadSegment(graph, { folder: '.', threads: 1 });
  try {
    const largest = zeroCode.unsigned + LARGEST_CODE;
    const { sums: found } = await segment.run({
      bytes: byteTensor(new Uint8Array(SIDE * SIDE).fill(largest), [SIDE, SIDE]),
    });
    return found?.every((sum) => sum === LARGEST_CODE ** 2 * SIDE) ? 'signed' : 'unsigned';
  } finally {
    await segment.release();
  }
}
