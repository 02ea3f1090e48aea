/**
 * Budgets from a law: a target, which is a mean number of keys or an error, is divided over the heads of a model by
 * water-filling, at every length of a grid.
 *
 * Within the measured lengths the division follows the error surfaces. Beyond them a law is less certain the further it
 * is extrapolated: budgets are shrunk towards their mean, by the error that laws fitted to shorter contexts made when
 * they were extrapolated to the longest one (`extrapolation` of the file).
 */
import type { BudgetPlan } from '../budgets/plan.ts';
import { type BudgetTarget, type BudgetTargetKind, parseBudgetTarget } from './budget-target.ts';
import { type ErrorLine, findLogPrice, keysAtPrice, logSquaredError } from './divide.ts';
import { extrapolationError, shrinkToMean } from './extrapolate.ts';
import type { GroupLaw, LawFile } from './law-file.ts';

/** The fields of a law that a plan is computed from. */
export type PlanningLaw = Pick<LawFile, 'model' | 'lengths' | 'budgets' | 'groups' | 'centre' | 'extrapolation'>;

/** The budget and the plan of a `PolicySpec`, as a law gives them. */
export interface PlannedBudget {
  /** The target in canonical form: `mean:256`. */
  budget: string;
  plan: BudgetPlan;
}

/** Lengths of a plan: four per doubling, from 32 to 2^21. */
const LENGTHS = Array.from({ length: 65 }, (_, i) => Math.round(32 * 2 ** (i / 4)));

/** Divides a target over the heads by a law. Throws `invalid-argument` where the text is no target. */
export function planBudget(law: PlanningLaw, target: string): PlannedBudget {
  const { layers, heads, keyValueHeads } = law.model;
  const parsed = parseBudgetTarget(target);
  const divide = createAllocator(law, parsed);
  const group = heads / keyValueHeads;
  // Groups are in the order of their query heads, and each head gets the keys of its group.
  const keys = LENGTHS.flatMap((n) =>
    Array.from(divide(n)).flatMap((groupKeys) => new Array<number>(group).fill(groupKeys)),
  );
  return { budget: parsed.name, plan: { layers, heads, lengths: LENGTHS, keys } };
}

/** Mean keys a head at context length n for a target. Throws `invalid-argument` where the text is no target. */
export function meanKeysFor(law: PlanningLaw, target: string, n: number): number {
  return mean(createAllocator(law, parseBudgetTarget(target))(n));
}

/** Returns a function from n to the keys of every group, in an array that the next call overwrites. */
function createAllocator(law: PlanningLaw, target: BudgetTarget): (n: number) => Float64Array {
  const exceeds = EXCEEDS[target.kind](target.value);
  const keys = new Float64Array(law.groups.length);
  return (n) => {
    const lines = law.groups.map((group) => errorLine(law, group, n));
    const error = extrapolationError(law, n);
    const range = { min: Math.min(law.budgets[0] as number, n), max: n };
    const keysAt = (logPrice: number) => {
      shrinkToMean(keysAtPrice(lines, logPrice, range, keys), error);
      for (let i = 0; i < keys.length; i++) keys[i] = Math.min(range.max, Math.max(range.min, keys[i] as number));
      return keys;
    };
    return keysAt(findLogPrice((logPrice) => exceeds(lines, keysAt(logPrice))));
  };
}

/** ln of the mean squared error of a group at n, as a line over ln keys. */
function errorLine({ centre }: PlanningLaw, { surface }: GroupLaw, n: number): ErrorLine {
  const { level, keys, length } = surface;
  return { level: level - keys * centre.keys + length * (Math.log(n) - centre.length), slope: keys };
}

/** Whether keys are more than the target needs, so that their price may rise. */
type Exceeds = (lines: readonly ErrorLine[], keys: Float64Array) => boolean;

const EXCEEDS: Readonly<Record<BudgetTargetKind, (value: number) => Exceeds>> = {
  mean: (max) => (_, keys) => mean(keys) > max,
  error: (max) => (lines, keys) => squaredErrors(lines, keys) / keys.length < max ** 2,
};

/** Sum over the groups of the mean squared errors that the keys leave. */
function squaredErrors(lines: readonly ErrorLine[], keys: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < lines.length; i++) {
    sum += Math.exp(logSquaredError(lines[i] as ErrorLine, keys[i] as number));
  }
  return sum;
}

const mean = (numbers: Float64Array): number => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
