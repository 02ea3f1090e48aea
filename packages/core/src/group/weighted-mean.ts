/** Keys that are known by the logarithm of their weights' sum and the weighted mean of their values, in a softmax state. */
import { stateOutputs } from '../kernels/kernels.ts';
import type { ThreadRegion } from './group-work.ts';

/** Some keys together: ln sum e^score, and the mean of their values weighted by e^score. */
export interface WeightedMean {
  logSum: number;
  /** (d) */
  value: ArrayLike<number>;
}

/** Adds such keys to one row of a state of `rows` rows, each as one key more (Milakov and Gimelshein, arXiv 1805.02867). */
export function addWeightedMeans(
  { views, workspace: { state } }: ThreadRegion,
  { rows, row, headDim }: { rows: number; row: number; headDim: number },
  means: Iterable<WeightedMean>,
): void {
  const { f32 } = views();
  const statistics = state / 4 + 2 * row;
  const outputs = stateOutputs(state, rows) / 4 + row * headDim;
  let max = f32[statistics] as number;
  let sum = f32[statistics + 1] as number;
  const output = Float64Array.from(f32.subarray(outputs, outputs + headDim));
  for (const { logSum, value } of means) {
    const next = Math.max(max, logSum);
    const [oldScale, newScale] = [Math.exp(max - next), Math.exp(logSum - next)];
    sum = sum * oldScale + newScale;
    for (let i = 0; i < headDim; i++) output[i] = (output[i] as number) * oldScale + newScale * (value[i] as number);
    max = next;
  }
  f32[statistics] = max;
  f32[statistics + 1] = sum;
  f32.set(output, outputs);
}
