/**
 * A key-value head of a model, with the queries of its GQA group: all numbers after RoPE, queries not scaled by
 * 1 / sqrt(d). `docs/captures.md` has the file format.
 */
export interface CapturedHead {
  /** `l14.g0` is key-value head 0 of layer 14. */
  name: string;
  /** d */
  headDim: number;
  /** Keys, from position 0 on. */
  n: number;
  /** Query heads that share the key-value head. */
  group: number;
  /** Positions that have queries: the last ones, up to n - 1. */
  lastQueries: number;
  /** (n, d) */
  keys: Float32Array;
  /** (n, d) */
  values: Float32Array;
  /** (group, lastQueries, d) */
  queries: Float32Array;
}
