/**
 * Attention sinks (gpt-oss, arXiv 2508.10925; Xiao et al., arXiv 2309.17453): a learned score of each query head that takes
 * part in the softmax without a value, as a key would whose value is 0. It is counted with the keys that are attended
 * exactly, so that estimates and certificates take it for one of them.
 */
import { stateOutputs } from '../kernels/kernels.ts';
import type { Views } from '../kernels/views.ts';

/** A running log-sum-exp, as groups have it. */
interface Sum {
  max: number;
  sum: number;
}

/** Adds the sinks to the running softmax at `state` of `rows` rows of d numbers: row r has sink number r mod sinks. */
export function addSinks(
  { f32 }: Views,
  state: number,
  rows: number,
  headDim: number,
  sinks: readonly number[] | undefined,
): void {
  if (sinks === undefined) return;
  for (let row = 0; row < rows; row++) {
    const at = state / 4 + 2 * row;
    const before = { max: f32[at] as number, sum: f32[at + 1] as number };
    const { max, sum } = withSink(before, sinks[row % sinks.length]);
    const shrink = Math.exp(before.max - max);
    f32[at] = max;
    f32[at + 1] = sum;
    if (shrink === 1) continue;
    const outputs = stateOutputs(state, rows) / 4 + row * headDim;
    for (let i = outputs; i < outputs + headDim; i++) f32[i] = (f32[i] as number) * shrink;
  }
}

/** A running log-sum-exp and the score of a sink, if there is one. */
export function withSink({ max, sum }: Sum, sink: number | undefined): Sum {
  if (sink === undefined) return { max, sum };
  // What is stored is float32: the maximum must be, for the sum to be of it.
  const score = Math.fround(sink);
  const larger = Math.max(max, score);
  return { max: larger, sum: sum * Math.exp(max - larger) + Math.exp(score - larger) };
}
