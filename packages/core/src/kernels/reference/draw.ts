/** Poisson sampling with evenly spread numbers, see `CodeKernels.drawKeys`. */

import { DRAW_FRACTION_BITS, DRAW_PERIOD, DRAW_STRIDE } from '../constants.ts';
import { drawNumber } from '../draw-tables.ts';
import type { DrawPlan } from '../quantized-kernels.ts';
import { at } from '../views.ts';

export interface DrawResult {
  /** Ascending positions. */
  positions: number[];
  /** ln pi of each. */
  logProbabilities: number[];
  /** In nats. */
  threshold: number;
}

/** Draws keys by `pooled`, g (n) in units of 2^-bits. */
export function draw(pooled: ArrayLike<number>, plan: DrawPlan, fractionBits: number): DrawResult {
  const { n, sinks, recentFrom, seed } = plan;
  const all = Array.from({ length: n }, (_, j) => j);
  const certain = (j: number) => j < sinks || j >= recentFrom;
  const number = (i: number) => Math.floor(drawNumber(i % DRAW_PERIOD) / 2 ** (DRAW_FRACTION_BITS - fractionBits));
  const priority = (j: number) =>
    Math.min(MAX_PRIORITY, at(pooled, j) + number(j + ((seed * DRAW_STRIDE) % DRAW_PERIOD)));
  const threshold = thresholdOf(all.filter((j) => !certain(j)).map(priority), all.filter(certain).length, plan);
  const positions = all.filter((j) => certain(j) || priority(j) >= threshold);

  // pi of a key that is `missing` below the threshold: the share of the numbers that would do.
  const numbers = Array.from({ length: DRAW_PERIOD }, (_, i) => number(i));
  const cache = new Map<number, number>();
  const logProbability = (shortfall: number): number => {
    const cached = cache.get(shortfall);
    if (cached !== undefined) return cached;
    const log = shortfall <= 0 ? 0 : Math.log(numbers.filter((x) => x >= shortfall).length / DRAW_PERIOD);
    cache.set(shortfall, log);
    return log;
  };
  const logProbabilities = positions.map((j) => (certain(j) ? 0 : logProbability(threshold - at(pooled, j))));
  return { positions, logProbabilities, threshold: threshold * Math.LN2 * 2 ** -fractionBits };
}

/** t: the smallest with which the priorities that reach it, and the certain keys, are at most `most`. */
function thresholdOf(priorities: readonly number[], certain: number, { n, maxKeys }: DrawPlan): number {
  if (maxKeys >= n) return Number.NEGATIVE_INFINITY;
  if (certain >= maxKeys) return Number.POSITIVE_INFINITY;
  // The first that has no room must be left below.
  const descending = [...priorities].sort((a, b) => b - a);
  const threshold = at(descending, maxKeys - certain) + 1;
  return threshold > MAX_PRIORITY ? Number.POSITIVE_INFINITY : threshold;
}

/** The largest number of 16 bits: priorities go no further. */
const MAX_PRIORITY = 32_767;
