/**
 * A plan: keys for every head on its own, at a grid of lengths. It is plain data, so that it travels between threads with
 * its policy and every thread opens the same budget. `law/plan.ts` makes plans of laws.
 */
import { KeysieveError } from '../errors.ts';
import { type Budget, clampKeys } from './budget.ts';

export interface BudgetPlan {
  layers: number;
  /** Query heads in a layer. */
  heads: number;
  /** Lengths that keys are given for, ascending: whole numbers. */
  lengths: readonly number[];
  /** (lengths, layers, heads), at least 1 each. Between two lengths keys lie on a line; before and past them they stay. */
  keys: readonly number[];
}

/** The budget of a plan, under the name that it was asked for by. Throws `invalid-argument`. */
export function createPlanBudget(name: string, plan: BudgetPlan): Budget {
  checkPlan(plan);
  const { layers, heads } = plan;
  const lengths = Float64Array.from(plan.lengths);
  const keys = Float64Array.from(plan.keys);
  const columns = layers * heads;
  const last = lengths.length - 1;
  // All heads of a token ask for the same n, so that it is looked up once.
  const lookup = { n: 0, row: 0, part: 0 };

  const embeddingLookup = (n: number) => {
    let row = 0;
    for (let step = 1 << Math.floor(Math.log2(last + 1)); step > 0; step >>= 1) {
      if (row + step <= last && (lengths[row + step] as number) <= n) row += step;
    }
    const from = lengths[row] as number;
    const to = lengths[Math.min(last, row + 1)] as number;
    lookup.row = row;
    lookup.part = n > from && to > from ? (n - from) / (to - from) : 0;
    lookup.n = n;
  };

  return {
    name,
    keys({ n, layer, head }) {
      if (lookup.n !== n) embeddingLookup(n);
      const index = lookup.row * columns + layer * heads + head;
      const from = keys[index] as number;
      if (lookup.part === 0) return clampKeys(from, n);
      return clampKeys(from + lookup.part * ((keys[index + columns] as number) - from), n);
    },
  };
}

function checkPlan({ layers, heads, lengths, keys }: BudgetPlan): void {
  const sizes = [layers, heads, lengths.length].every((size) => Number.isSafeInteger(size) && size > 0);
  const ascending = lengths.every((n, i) => Number.isSafeInteger(n) && n > (i === 0 ? 0 : (lengths[i - 1] as number)));
  const counts = keys.length === lengths.length * layers * heads && keys.every((k) => Number.isFinite(k) && k >= 1);
  if (sizes && ascending && counts) return;
  throw new KeysieveError({
    code: 'invalid-argument',
    problem: 'A plan has keys, at least 1, of every head at lengths that ascend.',
    found: `${keys.length} numbers for ${lengths.length} lengths, ${layers} layers and ${heads} heads`,
    remedy: 'Make it by planBudget from a law.',
  });
}
