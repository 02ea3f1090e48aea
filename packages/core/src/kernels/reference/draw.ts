/** Poisson sampling with evenly spread numbers, see `CodeKernels.drawKeys`. */
import type { SamplePlan } from '../code-kernels.ts';
import { DRAW_BITS, DRAW_NUMBERS, drawNumber, TURN_STEP } from '../draw-tables.ts';
import { at } from './rows.ts';

export interface Drawn {
  /** Ascending positions. */
  positions: number[];
  /** ln pi of each. */
  logProbabilities: number[];
  /** In nats. */
  threshold: number;
}

/** Draws keys by `pooled`, g (n) in units of 2^-bits. */
export function draw(pooled: ArrayLike<number>, plan: SamplePlan, bits: number): Drawn {
  const { n, sinks, keptFrom, turn } = plan;
  const all = Array.from({ length: n }, (_, j) => j);
  const certain = (j: number) => j < sinks || j >= keptFrom;
  const number = (i: number) => Math.floor(drawNumber(i % DRAW_NUMBERS) / 2 ** (DRAW_BITS - bits));
  const priority = (j: number) => Math.min(LARGEST, at(pooled, j) + number(j + ((turn * TURN_STEP) % DRAW_NUMBERS)));
  const threshold = thresholdOf(all.filter((j) => !certain(j)).map(priority), all.filter(certain).length, plan);
  const positions = all.filter((j) => certain(j) || priority(j) >= threshold);

  // pi of a key that is `missing` below the threshold: the share of the numbers that would do.
  const numbers = Array.from({ length: DRAW_NUMBERS }, (_, i) => number(i));
  const known = new Map<number, number>();
  const logProbability = (missing: number): number => {
    const before = known.get(missing);
    if (before !== undefined) return before;
    const log = missing <= 0 ? 0 : Math.log(numbers.filter((x) => x >= missing).length / DRAW_NUMBERS);
    known.set(missing, log);
    return log;
  };
  const logProbabilities = positions.map((j) => (certain(j) ? 0 : logProbability(threshold - at(pooled, j))));
  return { positions, logProbabilities, threshold: threshold * Math.LN2 * 2 ** -bits };
}

/** t: the smallest with which the priorities that reach it, and the certain keys, are at most `most`. */
function thresholdOf(priorities: readonly number[], certain: number, { n, most }: SamplePlan): number {
  if (most >= n) return Number.NEGATIVE_INFINITY;
  if (certain >= most) return Number.POSITIVE_INFINITY;
  // The first that has no room must be left below.
  const descending = [...priorities].sort((a, b) => b - a);
  const threshold = at(descending, most - certain) + 1;
  return threshold > LARGEST ? Number.POSITIVE_INFINITY : threshold;
}

/** The largest number of 16 bits: priorities go no further. */
const LARGEST = 32_767;
