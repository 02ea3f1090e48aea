/** What steps cost on a machine, and which is faster: the rule of the guard, see `guard.ts`. */
import { PAGE_KEYS } from '../kernels/layout.ts';
import type { Policy, SparsePolicy } from '../policies/policy.ts';
import { type GroupPosition, groupBudget } from '../selectors/selector.ts';

/** What a step of one layer takes, all its heads and all threads together, in milliseconds: constants and rates. */
export interface StepCosts {
  dense: { fixed: number; perKey: number };
  /** For each key that is scanned, and for each one of a group's sample. */
  sieve: { fixed: number; perKey: number; perSampled: number };
  /** A step that is certified by bounds, for each key that they are known of. */
  certified: { fixed: number; perKey: number };
}

/** Whether reading all n keys is faster than a scan of them and a sample. */
export const fullIsFasterThanSieve = ({ dense, sieve }: StepCosts, n: number, sampleKeys: number): boolean =>
  dense.fixed + dense.perKey * n <= sieve.fixed + sieve.perKey * n + sieve.perSampled * Math.min(sampleKeys, n);

/**
 * Whether a group would take longer by the policy than reading every key. Where a certificate was asked for, reading
 * every key gives the best there is.
 */
export function fullAttentionIsFaster(group: GroupPosition, policy: SparsePolicy, costs: StepCosts): boolean {
  const { selector, budget, certifier } = policy;
  const { dense, certified } = costs;
  if (certifier !== undefined)
    return dense.fixed + dense.perKey * group.n <= certified.fixed + certified.perKey * group.n;
  if (selector.sampleSize === undefined || budget.tailMass !== undefined) return false;
  return fullIsFasterThanSieve(costs, group.n, selector.sampleSize(groupBudget(group, budget), group.n));
}

/** The heads of a model. */
export interface ModelHeads {
  layers: number;
  heads: number;
  keyValueHeads: number;
}

/** The fewest keys, in whole pages up to `most`, that any head does not attend to densely; undefined if none. */
export function fullAttentionBelow(
  policy: Policy,
  costs: StepCosts,
  maxKeys: number,
  { layers, heads, keyValueHeads }: ModelHeads,
): number | undefined {
  if (policy.kind !== 'sparse') return undefined;
  const rows = heads / keyValueHeads;
  for (let n = PAGE_KEYS; n <= maxKeys; n += PAGE_KEYS) {
    for (let layer = 0; layer < layers; layer++) {
      for (let head = 0; head < heads; head += rows) {
        if (!fullAttentionIsFaster({ n, layer, head, rows }, policy, costs)) return n;
      }
    }
  }
  return undefined;
}
