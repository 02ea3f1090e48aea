/** Rows of attention of captured heads, in float64. */
import type { CapturedHead } from '../../captures/captured-head.ts';
import { addScaled, dot, max } from '../numbers.ts';

export interface ScoredRow {
  /** q / sqrt(d): (d) */
  query: Float64Array;
  /** Of keys 0 to the query's position, in nats. */
  scores: Float64Array;
  largest: number;
  /** sum of e^(score - largest) */
  total: number;
}

/** The row of captured query i of a query head. `keys` are those of the head in float64. */
export function scoredRow(captured: CapturedHead, keys: Float64Array, head: number, i: number): ScoredRow {
  const { queries, lastQueries: last, headDim: d, n } = captured;
  const from = (head * last + i) * d;
  const query = Float64Array.from(queries.subarray(from, from + d), (x) => x / Math.sqrt(d));
  const scores = new Float64Array(n - last + i + 1);
  for (let j = 0; j < scores.length; j++) scores[j] = dot(query, 0, keys, j * d, d);
  const largest = max(scores);
  let total = 0;
  for (const score of scores) total += Math.exp(score - largest);
  return { query, scores, largest, total };
}

/** The exact output (d) of a row. */
export function outputOf({ scores, largest, total, query }: ScoredRow, values: Float64Array): Float64Array {
  const d = query.length;
  const output = new Float64Array(d);
  for (let j = 0; j < scores.length; j++) {
    addScaled(output, 0, Math.exp((scores[j] as number) - largest) / total, values, j * d, d);
  }
  return output;
}
