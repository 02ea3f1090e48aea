/**
 * An eviction decides which keys a cache of limited size keeps, by the attention that they have received. What it drops is
 * gone for all later tokens. A key is kept for all query heads that share it, since only then can a cache forget it.
 */
export interface Eviction {
  readonly name: string;
  /** Whether every key-value head keeps its own positions, or all heads of a layer the same. */
  readonly unit: 'head' | 'layer';
  /** Number of queries at the end of a prompt that it looks at; infinite for all of them. */
  readonly observedQueries: number;
  /** Whether it reads the scores that keys had before, a float32 for each kept key. */
  readonly readsScores: boolean;
  /** Number of the last keys among `keys` kept ones that stay whatever their scores. */
  recentKeys(keys: number): number;
  /**
   * Scores of the keys of a prompt, from the attention (n) that each has received from the queries that it looks at,
   * summed over queries and heads.
   */
  scorePrompt(received: Float64Array): Float64Array;
  /**
   * The score of a kept key after the next query, from its score before and the attention that this query paid to it,
   * summed over the heads; new keys begin at 0. Default: nothing is dropped after the prompt.
   */
  readonly updateScore?: (before: number, received: number) => number;
}

/** Positions of the kept keys, ascending, and the score of each. */
export interface KeptKeys {
  positions: number[];
  scores: number[];
}

/** Drops all but `count` keys: the last `recentKeys` stay, and the others with the largest scores; of equals the later. */
export function evictLowest(kept: KeptKeys, count: number, recentKeys: number): void {
  const excessKeys = kept.positions.length - count;
  if (excessKeys <= 0) return;
  const open = kept.positions.length - Math.min(recentKeys, count);
  if (excessKeys === 1) {
    const min = indexOfMin(kept.scores, open);
    kept.positions.splice(min, 1);
    kept.scores.splice(min, 1);
    return;
  }
  const order = Array.from({ length: open }, (_, i) => i);
  order.sort((a, b) => (kept.scores[a] as number) - (kept.scores[b] as number) || a - b);
  const dropped = new Set(order.slice(0, excessKeys));
  kept.positions = kept.positions.filter((_, i) => !dropped.has(i));
  kept.scores = kept.scores.filter((_, i) => !dropped.has(i));
}

/** Index of the smallest of the first `count` numbers, the first of equals. */
function indexOfMin(scores: readonly number[], count: number): number {
  let min = 0;
  for (let i = 1; i < count; i++) if ((scores[i] as number) < (scores[min] as number)) min = i;
  return min;
}
