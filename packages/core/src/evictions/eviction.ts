/**
 * An eviction decides which keys a cache of limited size keeps, by the attention that they have received. What it drops is
 * gone for all later tokens. A key is kept for all query heads that share it, since only then can a cache forget it.
 */
export interface Eviction {
  readonly name: string;
  /** Whether each key-value head keeps keys of its own, or all of a layer the same positions. */
  readonly unit: 'head' | 'layer';
  /** How many queries at the end of a prompt it looks at: infinite, where it looks at all of them. */
  readonly observedQueries: number;
  /** Whether it reads what keys were worth before, a float32 for each that is kept. */
  readonly readsScores: boolean;
  /** Of `keys` keys that are kept, how many are the last ones, whatever they are worth. */
  recentKeys(keys: number): number;
  /**
   * What the keys of a prompt are worth, from the attention (n) that the queries it looks at have paid to each, summed
   * over them and over the heads.
   */
  scorePrompt(received: Float64Array): Float64Array;
  /**
   * What a key that was kept is worth once the next query has been there, from its worth before and the attention that
   * this query paid to it, summed over the heads; a new key was worth 0. Undefined where nothing is dropped after the
   * prompt.
   */
  readonly updateScore?: (before: number, received: number) => number;
}

/** Keys that are kept, in ascending order, and what each is worth. */
export interface KeptKeys {
  positions: number[];
  scores: number[];
}

/** Drops all but `count` keys: the last `recent` stay, and of the others those that are worth most; of equals the later. */
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
