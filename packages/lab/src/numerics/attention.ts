/** Attention of one query row in float64: the truth that everything else is measured against. */

/** Full attention of one query row. */
export interface AttentionRow {
  /** (d) */
  output: Float64Array;
  /** ln of the sum of e^score. */
  logSumExp: number;
  /** Scores in nats: (n) */
  scores: Float64Array;
}

/** Scores q . k / sqrt(d), in nats, over the first n rows of `keys`, which are (n or more, d). */
export function scoreKeys(query: ArrayLike<number>, keys: Float32Array, n: number): Float64Array {
  const d = query.length;
  const scores = new Float64Array(n);
  const scale = 1 / Math.sqrt(d);
  for (let key = 0; key < n; key++) {
    let sum = 0;
    for (let i = 0; i < d; i++) sum += (query[i] as number) * (keys[key * d + i] as number);
    scores[key] = sum * scale;
  }
  return scores;
}

/** Full attention of a query row (d) over the first n rows of keys and values, both (n or more, d). */
export function attendRow(query: ArrayLike<number>, keys: Float32Array, values: Float32Array, n: number): AttentionRow {
  const d = query.length;
  const scores = scoreKeys(query, keys, n);
  let max = Number.NEGATIVE_INFINITY;
  for (const score of scores) max = Math.max(max, score);
  const output = new Float64Array(d);
  let total = 0;
  for (let key = 0; key < n; key++) {
    const weight = Math.exp((scores[key] as number) - max);
    total += weight;
    for (let i = 0; i < d; i++) output[i] = (output[i] as number) + weight * (values[key * d + i] as number);
  }
  for (let i = 0; i < d; i++) output[i] = (output[i] as number) / total;
  return { output, logSumExp: max + Math.log(total), scores };
}

/** The fewest keys that leave at most `share` of the softmax unread. */
export function minKeysForMass({ scores, logSumExp }: AttentionRow, share: number): number {
  const weights = scores.map((score) => Math.exp(score - logSumExp)).sort();
  let [unread, dropped] = [0, 0];
  while (dropped < weights.length && unread + (weights[dropped] as number) <= share)
    unread += weights[dropped++] as number;
  return weights.length - dropped;
}

/** ||actual - truth|| / ||truth||; 0 where both are 0. */
export function relativeError(actual: ArrayLike<number>, truth: ArrayLike<number>): number {
  let [error, norm] = [0, 0];
  for (let i = 0; i < truth.length; i++) {
    error += ((actual[i] as number) - (truth[i] as number)) ** 2;
    norm += (truth[i] as number) ** 2;
  }
  return error === 0 ? 0 : Math.sqrt(error / norm);
}
