/** Where queries are sampled: at positions that stand for a length of context. */
import type { Random } from '../numerics/random.ts';

/** Queries at positions from this share of a length on count as those of the length. */
const WINDOW_FROM = 0.9;

/**
 * Positions of queries that see about `length` keys, ascending: one drawn from each of `samples` equal parts of the
 * window that ends with it, or all of the window where it has fewer.
 */
export function samplePositions(length: number, requested: number, random: Random): number[] {
  const from = Math.ceil(WINDOW_FROM * length);
  const windowSize = length - from;
  const drawn = Math.min(requested, windowSize);
  return Array.from({ length: drawn }, (_, i) => {
    const [start, end] = [Math.floor((i * windowSize) / drawn), Math.floor(((i + 1) * windowSize) / drawn)];
    return from + start + random.below(end - start);
  });
}
