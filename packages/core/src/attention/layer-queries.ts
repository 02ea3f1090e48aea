/** Consecutive queries of one layer. */
export interface LayerQueries {
  layer: number;
  /** Position of the first query. The cache has the keys of all queries, committed or not. */
  position: number;
  /** Queries after RoPE, not scaled: (count, heads, headDim). */
  queries: Float32Array;
}
