/**
 * Budgets from a law: a total, which is a mean number of keys, a target error or a target divergence, is divided over the
 * heads of a model by water-filling, at every length of a grid.
 *
 * Within the lengths that were measured the division is that of the error surfaces. Past them a law says less the further
 * it is carried: budgets are drawn towards their mean by as much as laws of shorter contexts were off when they were
 * tried (`extrapolation` of the file), so that what is left of the division is what the law still tells.
 */
import type { BudgetPlan } from '../budgets/plan.ts';
import { KeysieveError } from '../errors.ts';
import { extrapolationError, shrinkToMean } from './carried.ts';
import { type ErrorLine, findLogPrice, keysAtPrice, logSquaredError } from './divide.ts';
import type { GroupLaw, LawFile } from './law-file.ts';
import { type BudgetTarget, type BudgetTargetKind, parseBudgetTarget } from './total.ts';

/** What of a law plans are made of. */
export type PlanningLaw = Pick<
  LawFile,
  'model' | 'lengths' | 'budgets' | 'groups' | 'centre' | 'calibration' | 'extrapolation'
>;

/** What a policy takes its keys from a law by. */
export interface PlannedBudget {
  /** The total, as it was asked for: `mean:256`. */
  budget: string;
  plan: BudgetPlan;
}

/** Lengths of a plan: four to a doubling, from 32 to 2^21. */
const LENGTHS = Array.from({ length: 65 }, (_, i) => Math.round(32 * 2 ** (i / 4)));

/** Divides a total by a law. Throws `invalid-argument`, or `law-uncalibrated` where divergences were not measured. */
export function planBudget(law: PlanningLaw, target: string): PlannedBudget {
  const { layers, heads, keyValueHeads } = law.model;
  const parsed = parseBudgetTarget(target);
  const divide = createAllocator(law, parsed);
  const group = heads / keyValueHeads;
  // Groups stand in the order of their heads, each of which has the keys of its group.
  const keys = LENGTHS.flatMap((n) =>
    Array.from(divide(n)).flatMap((groupKeys) => new Array<number>(group).fill(groupKeys)),
  );
  return { budget: parsed.name, plan: { layers, heads, lengths: LENGTHS, keys } };
}

/** Mean keys a head at n, for a total. Throws as `planBudget` does. */
export function meanKeysFor(law: PlanningLaw, target: string, n: number): number {
  return mean(createAllocator(law, parseBudgetTarget(target))(n));
}

/** Gives the keys of every group at n; the next call overwrites them. */
function createAllocator(law: PlanningLaw, target: BudgetTarget): (n: number) => Float64Array {
  const exceeds = EXCEEDS[target.kind](law, target.value);
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

/** The mean squared error of a group at n, as a line over ln keys. */
function errorLine({ centre }: PlanningLaw, { surface }: GroupLaw, n: number): ErrorLine {
  const { level, keys, length } = surface;
  return { level: level - keys * centre.keys + length * (Math.log(n) - centre.length), slope: keys };
}

/** Whether keys are more than a total asks for, so that they may have a higher price. */
type Exceeds = (lines: readonly ErrorLine[], keys: Float64Array) => boolean;

const EXCEEDS: Readonly<Record<BudgetTargetKind, (law: PlanningLaw, value: number) => Exceeds>> = {
  mean: (_, max) => (_, keys) => mean(keys) > max,
  error: (_, max) => (lines, keys) => squaredErrors(lines, keys) / keys.length < max ** 2,
  kl(law, max) {
    const weights = divergenceWeights(law);
    return (lines, keys) => squaredErrors(lines, keys, weights) < max;
  },
};

/** Sum over the groups of the mean squared errors that keys leave, times weights. */
function squaredErrors(lines: readonly ErrorLine[], keys: Float64Array, weights?: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < lines.length; i++) {
    sum += (weights?.[i] ?? 1) * Math.exp(logSquaredError(lines[i] as ErrorLine, keys[i] as number));
  }
  return sum;
}

/** What the squared error of each group adds to the KL divergence from dense attention, in nats. */
function divergenceWeights({ groups, calibration }: PlanningLaw): Float64Array {
  const factor = calibration?.factor ?? Number.NaN;
  const weights = Float64Array.from(groups, ({ weight }) => factor * (weight ?? Number.NaN));
  if (weights.every(Number.isFinite)) return weights;
  throw new KeysieveError({
    code: 'law-uncalibrated',
    problem:
      'The law does not say what errors do to the predictions of the model, so that it has no budget for a divergence.',
    found: 'no calibration',
    remedy: 'Measure it with its calibration, or give a mean number of keys or an error: mean:K, error:EPS.',
  });
}

const mean = (numbers: Float64Array): number => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
