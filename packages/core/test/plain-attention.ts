/**
 * Attention from its definition, softmax(q . k) v, written for the tests alone: in float64, the truth that everything
 * is measured against, and in float32, every operation rounded, the error that a fast path may have twice.
 */

/** Query rows over one head. Arrays are row-major. */
export interface AttentionProblem {
  /** d */
  headDim: number;
  /** (rows, d), scaled by 1 / sqrt(d) already. */
  queries: ArrayLike<number>;
  /** (n, d) */
  keys: ArrayLike<number>;
  /** (n, d) */
  values: ArrayLike<number>;
  /** Positions of the keys that each row attends to. */
  visible: readonly ArrayLike<number>[];
  /** Where it is given, a score s becomes softCap tanh(s / softCap). */
  softCap?: number;
  /** A score of each row that takes part in the softmax without a value. */
  sinks?: readonly number[];
}

export interface AttentionTruth {
  /** (rows, d) */
  outputs: Float64Array;
  /** ln of the sum of e^score over the keys that the row sees. */
  logSumExp: Float64Array;
}

/** Positions 0 to n - 1. */
export const positionsBelow = (n: number): Int32Array => Int32Array.from({ length: n }, (_, i) => i);

/** q . k of one row and one key, capped where there is a cap, in float64. */
export function score64({ headDim, queries, keys, softCap }: AttentionProblem, row: number, position: number): number {
  let sum = 0;
  for (let i = 0; i < headDim; i++) {
    sum += (queries[row * headDim + i] as number) * (keys[position * headDim + i] as number);
  }
  if (softCap !== undefined) return softCap * Math.tanh(sum / softCap);
  return sum;
}

export function attention64(problem: AttentionProblem): AttentionTruth {
  const { headDim, values, visible, sinks } = problem;
  const outputs = new Float64Array(visible.length * headDim);
  const logSumExp = new Float64Array(visible.length);
  for (const [row, positions] of visible.entries()) {
    const scores = Float64Array.from(positions, (position) => score64(problem, row, position));
    const sink = sinks?.[row] ?? Number.NEGATIVE_INFINITY;
    const max = scores.reduce((a, b) => Math.max(a, b), sink);
    let sum = Math.exp(sink - max);
    const output = outputs.subarray(row * headDim, (row + 1) * headDim);
    for (let j = 0; j < positions.length; j++) {
      const weight = Math.exp((scores[j] as number) - max);
      const value = (positions[j] as number) * headDim;
      sum += weight;
      for (let i = 0; i < headDim; i++) output[i] = (output[i] as number) + weight * (values[value + i] as number);
    }
    for (let i = 0; i < headDim; i++) output[i] = (output[i] as number) / sum;
    logSumExp[row] = max + Math.log(sum);
  }
  return { outputs, logSumExp };
}

/** Softmax attention in float32, term after term, with the maximal score subtracted first. */
export function attention32({
  headDim,
  queries,
  keys,
  values,
  visible,
  softCap,
  sinks,
}: AttentionProblem): Float32Array {
  const { fround } = Math;
  const outputs = new Float32Array(visible.length * headDim);
  for (const [row, positions] of visible.entries()) {
    const scores = new Float32Array(positions.length);
    const sink = sinks?.[row] ?? Number.NEGATIVE_INFINITY;
    let max = sink;
    for (let j = 0; j < positions.length; j++) {
      const key = (positions[j] as number) * headDim;
      let sum = 0;
      for (let i = 0; i < headDim; i++) {
        sum = fround(sum + fround((queries[row * headDim + i] as number) * (keys[key + i] as number)));
      }
      if (softCap !== undefined) sum = fround(softCap * fround(Math.tanh(fround(sum / softCap))));
      scores[j] = sum;
      max = Math.max(max, sum);
    }
    let sum = fround(Math.exp(fround(sink - max)));
    const output = outputs.subarray(row * headDim, (row + 1) * headDim);
    for (let j = 0; j < positions.length; j++) {
      const weight = fround(Math.exp(fround((scores[j] as number) - max)));
      const value = (positions[j] as number) * headDim;
      sum = fround(sum + weight);
      for (let i = 0; i < headDim; i++) {
        output[i] = fround((output[i] as number) + fround(weight * (values[value + i] as number)));
      }
    }
    for (let i = 0; i < headDim; i++) output[i] = fround((output[i] as number) / sum);
  }
  return outputs;
}

/** How far numbers are from the truth: the largest difference, and the norm of all. */
export interface Distance {
  max: number;
  norm: number;
}

export function distance(numbers: ArrayLike<number>, truth: ArrayLike<number>): Distance {
  let max = 0;
  let squared = 0;
  for (let i = 0; i < truth.length; i++) {
    const difference = Math.abs((numbers[i] as number) - (truth[i] as number));
    // A NaN must not slip through a comparison.
    if (!(difference <= max)) max = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
    squared += difference ** 2;
  }
  return { max, norm: Number.isNaN(squared) ? Number.POSITIVE_INFINITY : Math.sqrt(squared) };
}
