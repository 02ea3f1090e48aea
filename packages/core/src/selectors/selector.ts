/**
 * A selector chooses, for one query row, the keys that are attended exactly. It writes their positions, ascending and
 * without repeats, into the positions buffer of the query, and says what it learned of the others on the way.
 */
import type { Budget } from '../budgets/budget.ts';
import type { HeadQuery, SoftmaxSum } from '../cache/head-query.ts';

export interface Selection {
  /** Keys chosen: so many positions stand in the positions buffer. */
  count: number;
  /**
   * The sum over all keys that the query may see, where the selector has scored them all exactly (to rounding);
   * undefined where it has not.
   */
  total?: SoftmaxSum;
  /** Bytes of the cache that were read to choose. */
  bytesScanned: number;
}

export interface Selector {
  readonly name: string;
  select(query: HeadQuery, budget: Budget): Selection;
}

/** Keys that every selector keeps, as attention sinks (arXiv 2309.17453) and nearest neighbours. */
export const SINK_KEYS = 4;
export const RECENT_KEYS = 32;

/** Of `count` keys, how many go to the first positions and to the last: with few keys, the last come first. */
export function keptKeys(count: number): { sinks: number; recent: number } {
  const recent = Math.min(RECENT_KEYS, Math.ceil(count / 2));
  return { sinks: Math.min(SINK_KEYS, count - recent), recent };
}

/** Writes the positions of `sinks` first keys and `recent` last keys of n, `between` of them left free in the middle. */
export function writeKept(positions: Int32Array, n: number, sinks: number, recent: number, between: number): void {
  for (let i = 0; i < sinks; i++) positions[i] = i;
  for (let i = 0; i < recent; i++) positions[sinks + between + i] = n - recent + i;
}

/** Chooses all n keys. */
export function selectAll(positions: Int32Array, n: number): void {
  for (let i = 0; i < n; i++) positions[i] = i;
}
