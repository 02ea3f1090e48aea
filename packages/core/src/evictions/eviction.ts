/**
 * An eviction decides which keys a cache of limited size keeps, by the attention that they have received. What it drops is
 * gone for all later tokens. A key is kept for all query heads that share it, since only then can a cache forget it.
 */
export interface Eviction {
  readonly name: string;
  /** Whether each key-value head keeps keys of its own, or all of a layer the same positions. */
  readonly unit: 'head' | 'layer';
  /** How many queries at the end of a prompt it looks at: infinite, where it looks at all of them. */
  readonly observed: number;
  /** Whether it reads what keys were worth before, a float32 for each that is kept. */
  readonly remembers: boolean;
  /** Of `keys` keys that are kept, how many are the last ones, whatever they are worth. */
  recent(keys: number): number;
  /**
   * What the keys of a prompt are worth, from the attention (n) that the queries it looks at have paid to each, summed
   * over them and over the heads.
   */
  worthOfPrompt(received: Float64Array): Float64Array;
  /**
   * What a key that was kept is worth once the next query has been there, from its worth before and the attention that
   * this query paid to it, summed over the heads; a new key was worth 0. Undefined where nothing is dropped after the
   * prompt.
   */
  readonly worthAfter?: (before: number, received: number) => number;
}

/** Keys that are kept, in ascending order, and what each is worth. */
export interface KeptKeys {
  positions: number[];
  worth: number[];
}

/** Drops all but `count` keys: the last `recent` stay, and of the others those that are worth most; of equals the later. */
export function dropLeast(kept: KeptKeys, count: number, recent: number): void {
  const excess = kept.positions.length - count;
  if (excess <= 0) return;
  const open = kept.positions.length - Math.min(recent, count);
  if (excess === 1) {
    const least = leastOf(kept.worth, open);
    kept.positions.splice(least, 1);
    kept.worth.splice(least, 1);
    return;
  }
  const order = Array.from({ length: open }, (_, i) => i);
  order.sort((a, b) => (kept.worth[a] as number) - (kept.worth[b] as number) || a - b);
  const dropped = new Set(order.slice(0, excess));
  kept.positions = kept.positions.filter((_, i) => !dropped.has(i));
  kept.worth = kept.worth.filter((_, i) => !dropped.has(i));
}

/** Index of the smallest of the first `count` numbers, the first of equals. */
function leastOf(worth: readonly number[], count: number): number {
  let least = 0;
  for (let i = 1; i < count; i++) if ((worth[i] as number) < (worth[least] as number)) least = i;
  return least;
}
