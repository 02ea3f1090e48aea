/** Poisson sampling with evenly spread numbers, see `CodeKernels.sampleKeys`. */
import { type SamplePlan, sampleNumber } from '../code-kernels.ts';
import { at } from './rows.ts';

/** Steps of the threshold in a nat, and the furthest that it goes. */
const STEPS = 16;
const FURTHEST = 64;

export interface Drawn {
  /** Ascending positions. */
  positions: number[];
  /** ln pi of each. */
  logProbabilities: number[];
  threshold: number;
}

/** Draws keys by `pooled`, g (n). */
export function draw(pooled: ArrayLike<number>, plan: SamplePlan): Drawn {
  const { n, sinks, keptFrom, turn } = plan;
  const all = Array.from({ length: n }, (_, j) => j);
  const certain = (j: number) => j < sinks || j >= keptFrom;
  const priority = (j: number) => at(pooled, j) - Math.log(sampleNumber(j, turn));
  const threshold = thresholdOf(all.filter((j) => !certain(j)).map(priority), all.filter(certain).length, plan);
  const positions = all.filter((j) => certain(j) || priority(j) >= threshold);
  const logProbabilities = positions.map((j) => (certain(j) ? 0 : Math.min(0, at(pooled, j) - threshold)));
  return { positions, logProbabilities, threshold };
}

/** t: the smallest with which the priorities that reach it, and the certain keys, are at most `most`. */
function thresholdOf(priorities: readonly number[], certain: number, { n, most }: SamplePlan): number {
  if (most >= n) return Number.NEGATIVE_INFINITY;
  if (certain >= most) return Number.POSITIVE_INFINITY;
  // A key reaches the thresholds up to its own step; the first that has no room must be left below.
  const steps = priorities.map((priority) => Math.floor(priority * STEPS)).sort((a, b) => b - a);
  const threshold = Math.max(-FURTHEST, (at(steps, most - certain) + 1) / STEPS);
  return threshold <= FURTHEST ? threshold : Number.POSITIVE_INFINITY;
}
