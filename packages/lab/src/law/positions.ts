/** Positions at which queries are sampled for a context length. */
import type { Random } from '../numerics/random.ts';

/** Queries at positions from this share of a length up to it count for the length. */
const WINDOW_FROM = 0.9;

/**
 * Positions of queries that see about `length` keys, ascending: a random one from each of `requested` equal parts of the
 * window [.9 length, length), or the whole window where it has fewer positions.
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
