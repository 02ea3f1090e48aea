/**
 * A plan: a number of keys for every head, at a grid of lengths. It is plain data, so that it travels between threads
 * and every thread makes the same budget of it. `law/plan.ts` makes plans from laws.
 */
import { KeysieveError } from '../errors.ts';
import { clampKeys, type KeyBudget } from './budget.ts';

/** Keys for every head at a grid of lengths: plain data, which travels with a policy. */
export interface BudgetPlan {
  layers: number;
  /** Query heads in a layer. */
  heads: number;
  /** Lengths that keys are given for, ascending: whole numbers. */
  lengths: readonly number[];
  /** (lengths, layers, heads), at least 1 each. Between two lengths keys lie on a line; before and past them they stay. */
  keys: readonly number[];
}

/** The budget of a plan, under the name of the total that it divides. Throws `invalid-argument`. */
export function createPlanBudget(name: string, plan: BudgetPlan): KeyBudget {
  checkPlan(plan);
  const { layers, heads } = plan;
  const lengths = Float64Array.from(plan.lengths);
  const keys = Float64Array.from(plan.keys);
  const columns = layers * heads;
  const last = lengths.length - 1;
  // All heads of a token have the same n, which is looked up once.
  const lookup = { n: 0, row: 0, part: 0 };

  const locate = (n: number) => {
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
      if (lookup.n !== n) locate(n);
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
    problem: 'A plan has a number of keys, at least 1, for every head at every length, and lengths ascend.',
    found: `${keys.length} numbers for ${lengths.length} lengths, ${layers} layers and ${heads} heads`,
    remedy: 'Make it from a law, by planBudget.',
  });
}
