/** Where queries are sampled: at positions that stand for a length of context. */
import type { Random } from './random.ts';

/** Queries at positions from this share of a length on count as those of the length. */
const WINDOW_FROM = 0.9;

/**
 * Positions of queries that see about `length` keys, ascending: one drawn from each of `samples` equal parts of the
 * window that ends with it, or all of the window where it has fewer.
 */
export function samplePositions(length: number, samples: number, random: Random): number[] {
  const from = Math.ceil(WINDOW_FROM * length);
  const places = length - from;
  const count = Math.min(samples, places);
  return Array.from({ length: count }, (_, i) => {
    const [start, end] = [Math.floor((i * places) / count), Math.floor(((i + 1) * places) / count)];
    return from + start + random.below(end - start);
  });
}
