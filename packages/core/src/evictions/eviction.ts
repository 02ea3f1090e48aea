/**
 * An eviction decides which keys a cache of limited size keeps, by the attention that they have received. What it drops is
 * gone for all later tokens, but for the remains that stand for it where the eviction has any. A key is kept for all query
 * heads that share it, since only then can a cache forget it.
 */
import type { CreateRemains } from '../remains/remains.ts';

export interface Eviction {
  readonly name: string;
  /** Whether every key-value head keeps its own positions, or all heads of a layer the same. */
  readonly unit: 'head' | 'layer';
  /** Number of queries at the end of a prompt, or of a part of it, that it looks at; infinite for all of them. */
  readonly observedQueries: number;
  /** Whether it reads the scores that keys had before, a float32 for each kept key. */
  readonly readsScores: boolean;
  /**
   * Keys of a prompt after which those so far are judged, again and again, so that keys are dropped while the prompt is read.
   * Such an eviction looks at a finite number of queries. Default: keys are judged once, when the prompt is over.
   */
  readonly promptPart?: number;
  /** Keys by which what is kept may exceed the budget before the excess is dropped at once. Default: 0. */
  readonly slack?: number;
  /** What stands for the keys that are dropped. Default: nothing. */
  readonly remains?: CreateRemains;
  /** Number of the last keys among `keys` kept ones that stay whatever their scores. */
  recentKeys(keys: number): number;
  /** Scores (n) of the keys of a prompt that have not been dropped yet. */
  worthOfPrompt(evidence: PromptEvidence): Float64Array;
  /**
   * The score of a kept key after the next query, from its score before and the attention that this query paid to it,
   * summed over the heads; new keys begin at 0. Default: nothing is dropped after the prompt.
   */
  readonly updateScore?: (before: number, received: number) => number;
}

/** What an eviction knows of the keys of a prompt that are still there, n of them. */
export interface PromptEvidence {
  /** Attention (n) that each has received from the queries that the eviction looks at, summed over queries and heads. */
  received: Float64Array;
  /** The key-value heads that keep the same keys. */
  heads: readonly HeadEvidence[];
}

export interface HeadEvidence {
  /** Keys and values (n, headDim), which are read when they are asked for. */
  keys(): Float32Array;
  values(): Float32Array;
  /**
   * The queries (count, query heads that share the keys, headDim) that the eviction looks at, not scaled; none where it looks
   * at all.
   */
  queries: Float32Array;
}

/** Positions of the kept keys, ascending, and the score of each. */
export interface KeptKeys {
  positions: number[];
  scores: number[];
}

/**
 * Drops all but `count` keys: the last `recentKeys` stay, and the others with the largest scores; of equals the later.
 * Returns the positions that were dropped, ascending.
 */
export function evictLowest(kept: KeptKeys, count: number, recentKeys: number): number[] {
  const excessKeys = kept.positions.length - count;
  if (excessKeys <= 0) return [];
  const open = kept.positions.length - Math.min(recentKeys, count);
  if (excessKeys === 1) {
    const min = indexOfMin(kept.scores, open);
    kept.scores.splice(min, 1);
    return kept.positions.splice(min, 1);
  }
  const order = Array.from({ length: open }, (_, i) => i);
  order.sort((a, b) => (kept.scores[a] as number) - (kept.scores[b] as number) || a - b);
  const dropped = new Set(order.slice(0, excessKeys));
  const gone = kept.positions.filter((_, i) => dropped.has(i));
  kept.positions = kept.positions.filter((_, i) => !dropped.has(i));
  kept.scores = kept.scores.filter((_, i) => !dropped.has(i));
  return gone;
}

/** Index of the smallest of the first `count` numbers, the first of equals. */
function indexOfMin(scores: readonly number[], count: number): number {
  let min = 0;
  for (let i = 1; i < count; i++) if ((scores[i] as number) < (scores[min] as number)) min = i;
  return min;
}
