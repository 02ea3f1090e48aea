/** Poisson sampling with draws of low discrepancy: see `QuantizedKernels.drawKeys`. */

import { DRAW_FRACTION_BITS, DRAW_PERIOD, DRAW_STRIDE } from '../constants.ts';
import { drawNumber } from '../draw-tables.ts';
import type { DrawPlan } from '../quantized-kernels.ts';
import { at } from '../views.ts';

export interface DrawResult {
  /** Positions of the drawn keys, ascending. */
  positions: number[];
  /** ln pi of each drawn key. */
  logProbabilities: number[];
  /** t in nats. */
  threshold: number;
}

/** Draws keys by `pooled`: g (n) in units of 2^-fractionBits. */
export function draw(pooled: ArrayLike<number>, plan: DrawPlan, fractionBits: number): DrawResult {
  const { n, sinks, recentFrom, seed } = plan;
  const all = Array.from({ length: n }, (_, j) => j);
  const certain = (j: number) => j < sinks || j >= recentFrom;
  const number = (i: number) => Math.floor(drawNumber(i % DRAW_PERIOD) / 2 ** (DRAW_FRACTION_BITS - fractionBits));
  const priority = (j: number) =>
    Math.min(MAX_PRIORITY, at(pooled, j) + number(j + ((seed * DRAW_STRIDE) % DRAW_PERIOD)));
  const threshold = thresholdOf(all.filter((j) => !certain(j)).map(priority), all.filter(certain).length, plan);
  const positions = all.filter((j) => certain(j) || priority(j) >= threshold);

  // pi of a key whose share is `shortfall` below the threshold: the fraction of draws that lift it over.
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

/** t: the smallest number with which the always included keys and the priorities from t on are at most `maxKeys`. */
function thresholdOf(priorities: readonly number[], certain: number, { n, maxKeys }: DrawPlan): number {
  if (maxKeys >= n) return Number.NEGATIVE_INFINITY;
  if (certain >= maxKeys) return Number.POSITIVE_INFINITY;
  // The first key that has no room must stay below.
  const descending = [...priorities].sort((a, b) => b - a);
  const threshold = at(descending, maxKeys - certain) + 1;
  return threshold > MAX_PRIORITY ? Number.POSITIVE_INFINITY : threshold;
}

/** Priorities saturate at the largest int16. */
const MAX_PRIORITY = 32_767;
