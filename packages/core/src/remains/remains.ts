/**
 * What is left of the keys of one key-value head that a cache has dropped: a state whose size does not depend on how many
 * there were, and which stands for them in the softmax of later queries, as a few keys with weights and a correction.
 */
export interface Remains {
  readonly name: string;
  /** Keys that it stands for. */
  readonly keys: number;
  /** Bytes that it takes now: bounded, however many keys it stands for. */
  readonly bytes: number;
  /** Rows that it has at most. */
  readonly maxRows: number;
  /**
   * Takes keys in. In which order they stand in `leaving` makes no difference. Those of other calls are there already and
   * cannot be taken out again: who may have to go back keeps a `copy`.
   */
  fold(leaving: LeavingKeys): void;
  rows(): RemainsRows;
  /** What queries (headDim), scaled by 1 / sqrt(headDim), find beside the rows as they are now. There must be keys. */
  corrector(): (query: ArrayLike<number>) => Correction;
  /** The same state, which goes on by itself. */
  copy(): Remains;
}

/** Keys that a cache drops. */
export interface LeavingKeys {
  /** (n, headDim) each */
  keys: Float32Array;
  values: Float32Array;
  /** Mean square of recent queries (headDim): how much a difference in each dimension of a key counts. */
  energies: Float64Array;
}

/** Adds to sums (headDim) a weight times the mean square of queries (count, headDim): what `energies` are made of. */
export function addMeanSquares(sums: Float64Array, queries: Float32Array, weight = 1): void {
  const d = sums.length;
  const each = (weight * d) / queries.length;
  for (const [i, x] of queries.entries()) sums[i % d] = (sums[i % d] as number) + each * x * x;
}

/** Keys and values that stand for many: row r is one key of the score q . k + logWeight. */
export interface RemainsRows {
  /** (rows) */
  logWeights: Float64Array;
  /** (rows, headDim) each */
  keys: Float32Array;
  values: Float64Array;
}

/** What is to be added to attention to the rows. */
export interface Correction {
  /** Added to the score of every row. */
  logFactor: number;
  /** Added to the mean of the rows' values (headDim). */
  shift: Float64Array;
  /**
   * The log-sum-exp over the rows, without `logFactor` and in exact arithmetic, is larger than that over the dropped keys by
   * at most this: what rounding has done to the rows.
   */
  rounding: number;
}

/** What stands for dropped keys in the softmax of one query. */
export interface RemainsEstimate {
  /** Estimate of ln sum e^score over the dropped keys. */
  logSum: number;
  /** Estimate of the mean of their values, weighted by e^score (headDim). */
  value: Float64Array;
  /** Certified lower bound on ln sum e^score, rounding included. */
  logSumAtLeast: number;
}

/** Makes what stands for keys before there are any. */
export type CreateRemains = (headDim: number) => Remains;

/** Attends to remains with a query (headDim), scaled by 1 / sqrt(headDim). There must be keys. */
export function estimateRemains(remains: Remains, query: Float32Array): RemainsEstimate {
  const headDim = query.length;
  const { logWeights, keys, values } = remains.rows();
  const scores = logWeights.slice();
  let [max, largest] = [Number.NEGATIVE_INFINITY, 0];
  for (let row = 0; row < scores.length; row++) {
    let score = scores[row] as number;
    for (let i = 0, at = row * headDim; i < headDim; i++, at++) score += (query[i] as number) * (keys[at] as number);
    scores[row] = score;
    max = Math.max(max, score);
    largest = Math.max(largest, Math.abs(score));
  }
  const value = new Float64Array(headDim);
  let total = 0;
  for (let row = 0; row < scores.length; row++) {
    const weight = Math.exp((scores[row] as number) - max);
    total += weight;
    for (let i = 0, at = row * headDim; i < headDim; i++, at++) {
      value[i] = (value[i] as number) + weight * (values[at] as number);
    }
  }
  const { logFactor, shift, rounding } = remains.corrector()(query);
  const logSum = max + Math.log(total);
  return {
    logSum: logSum + logFactor,
    value: value.map((x, i) => x / total + (shift[i] as number)),
    // The sums above are in float64: their rounding is far below the last term.
    logSumAtLeast: logSum - rounding - 1e-9 * (1 + largest),
  };
}
