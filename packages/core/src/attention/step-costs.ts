/** What steps cost on a machine, and which is faster: the rule of the guard, see `guard.ts`. */
import { PAGE_KEYS } from '../kernels/layout.ts';
import type { Policy, SparsePolicy } from '../policies/policy.ts';
import { type GroupContext, keysOfGroup } from '../selectors/selector.ts';

/** What a step of one layer takes, all its heads and all threads together, in milliseconds: constants and rates. */
export interface StepCosts {
  dense: { fixed: number; perKey: number };
  /** For each key that is scanned, and for each one of a group's sample. */
  sieve: { fixed: number; perKey: number; perSampled: number };
}

/** Whether reading all n keys is faster than a scan of them and a sample. */
export const denseIsFaster = ({ dense, sieve }: StepCosts, n: number, sample: number): boolean =>
  dense.fixed + dense.perKey * n <= sieve.fixed + sieve.perKey * n + sieve.perSampled * Math.min(sample, n);

/** Whether a group would take longer by the policy than reading every key. Never, where a certificate was asked for. */
export function isGuarded(group: GroupContext, policy: SparsePolicy, costs: StepCosts): boolean {
  const { selector, budget, certifier } = policy;
  if (selector.sampleSize === undefined || budget.tailMass !== undefined || certifier !== undefined) return false;
  return denseIsFaster(costs, group.n, selector.sampleSize(keysOfGroup(group, budget), group.n));
}

/** The fewest keys, in whole pages up to `most`, that the first head is not attended to densely; undefined if none. */
export function denseBelow(policy: Policy, costs: StepCosts, most: number): number | undefined {
  if (policy.kind === 'dense') return undefined;
  for (let n = PAGE_KEYS; n <= most; n += PAGE_KEYS) {
    if (!isGuarded({ n, layer: 0, head: 0, rows: 1 }, policy, costs)) return n;
  }
  return undefined;
}
