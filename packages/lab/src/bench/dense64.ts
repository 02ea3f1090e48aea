/** Attention of one query row in float64: the truth that policies are measured against. */

export interface DenseRow {
  output: Float64Array;
  /** ln of the sum of e^score. */
  logSumExp: number;
  /** (n) */
  scores: Float64Array;
}

/** Scores q . k / sqrt(d) over the first n keys, softmax, values. Rows are (n, d). */
export function denseRow(query: ArrayLike<number>, keys: Float32Array, values: Float32Array, n: number): DenseRow {
  const d = query.length;
  const scores = new Float64Array(n);
  let max = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < n; j++) {
    let sum = 0;
    for (let i = 0; i < d; i++) sum += (query[i] as number) * (keys[j * d + i] as number);
    scores[j] = sum / Math.sqrt(d);
    max = Math.max(max, scores[j] as number);
  }
  const output = new Float64Array(d);
  let total = 0;
  for (let j = 0; j < n; j++) {
    const weight = Math.exp((scores[j] as number) - max);
    total += weight;
    for (let i = 0; i < d; i++) output[i] = (output[i] as number) + weight * (values[j * d + i] as number);
  }
  for (let i = 0; i < d; i++) output[i] = (output[i] as number) / total;
  return { output, logSumExp: max + Math.log(total), scores };
}

/** The fewest keys that leave at most `share` of the softmax unread. */
export function oracleKeys({ scores, logSumExp }: DenseRow, share: number): number {
  const weights = scores.map((score) => Math.exp(score - logSumExp)).sort();
  let [unread, dropped] = [0, 0];
  while (dropped < weights.length && unread + (weights[dropped] as number) <= share)
    unread += weights[dropped++] as number;
  return weights.length - dropped;
}

/** ||found - truth|| / ||truth||; 0 where both are 0. */
export function relativeError(actual: ArrayLike<number>, truth: ArrayLike<number>): number {
  let [error, norm] = [0, 0];
  for (let i = 0; i < truth.length; i++) {
    error += ((actual[i] as number) - (truth[i] as number)) ** 2;
    norm += (truth[i] as number) ** 2;
  }
  return error === 0 ? 0 : Math.sqrt(error / norm);
}

/**
 * Rows as a cache of `bits` bits a number would keep them: one step a row, the largest number at the end of the range.
 */
export function quantizeRows(rows: Float32Array, d: number, bits: number): Float32Array {
  const maxCode = 2 ** (bits - 1) - 1;
  const quantized = new Float32Array(rows.length);
  for (let from = 0; from < rows.length; from += d) {
    let maxMagnitude = 0;
    for (let i = from; i < from + d; i++) maxMagnitude = Math.max(maxMagnitude, Math.abs(rows[i] as number));
    const scale = maxMagnitude / maxCode || 1;
    for (let i = from; i < from + d; i++) quantized[i] = Math.round((rows[i] as number) / scale) * scale;
  }
  return quantized;
}
