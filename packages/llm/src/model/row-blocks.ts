/**
 * Runs a segment over many rows (tokens) a block at a time. Rows do not see each other in a segment, so blocks change
 * no result, and its activations take the memory of one block, however long the chunk of a prompt is.
 */
import { floatTensor } from '#onnx-runtime';
import type { Segment, SegmentInputs } from '../onnx/index.ts';

/**
 * Large enough that products cost no more than with any other number of rows, small enough that their activations stay
 * in the processor's cache (measured: 128 to 512 rows cost the same, and 512 take 60 MB more).
 */
const BLOCK_ROWS = 128;

/** From this number of rows on, a segment for many is faster (measured: twice as fast at 16 rows, as fast at 4). */
export const WIDE_SEGMENT_MIN_ROWS = 16;

/** A segment, and the one that does the same for many rows at once, where there is one. */
export interface SegmentPair {
  gemv: Segment;
  gemm: Segment | undefined;
}

/** Rows from `from` on, before `to`. */
export interface RowRange {
  from: number;
  to: number;
}

/** Inputs of rows `from` to `to` of a chunk. */
export type RowInputs = (from: number, to: number) => SegmentInputs;

/** Outputs of all rows by role. */
export type RowOutputs = Record<string, Float32Array>;

/**
 * Runs rows `from` to `to` and writes their outputs into `outputs`, whose arrays are used again where they fit: a pass
 * over many layers that allocated its own for each would keep the garbage collector busy on all cores. `beforeBlock` may
 * throw to stop.
 */
export async function runRows(
  { gemv, gemm }: SegmentPair,
  { from, to }: RowRange,
  inputs: RowInputs,
  outputs: RowOutputs,
  beforeBlock: () => void,
): Promise<void> {
  for (let start = from; start < to; start += BLOCK_ROWS) {
    beforeBlock();
    const end = Math.min(start + BLOCK_ROWS, to);
    const segment = end - start < WIDE_SEGMENT_MIN_ROWS ? gemv : (gemm ?? gemv);
    await segment.run(inputs(start, end), outputTargets(segment, outputs, to - from, start - from, end - from));
  }
}

/** Where a segment writes its outputs of rows `from` to `to` of `rows`. */
function outputTargets(
  { shapes }: Segment,
  outputs: RowOutputs,
  rows: number,
  from: number,
  to: number,
): Record<string, SegmentInputs[string]> {
  const targets: Record<string, SegmentInputs[string]> = {};
  for (const [role, shape] of shapes) {
    let width = 1;
    for (const size of shape) if (typeof size === 'number') width *= size;
    const existing = outputs[role];
    const buffer = existing?.length === rows * width ? existing : new Float32Array(rows * width);
    outputs[role] = buffer;
    const sizes = shape.map((size) => (typeof size === 'number' ? size : to - from));
    targets[role] = floatTensor(buffer.subarray(from * width, to * width), sizes);
  }
  return targets;
}
