/** From how many keys on a policy is faster than full attention. */
import { PAGE_KEYS } from '../kernels/layout.ts';
import type { Policy } from '../policies/policy.ts';
import type { StepCosts } from '../policies/step-costs.ts';

/** The heads of a model. */
export interface ModelHeads {
  layers: number;
  heads: number;
  keyValueHeads: number;
}

/**
 * The fewest keys, in whole pages up to `maxKeys`, for which the policy is faster than full attention in some layer;
 * undefined where it is faster in none, or always.
 */
export function fullAttentionBelow(
  policy: Policy,
  costs: StepCosts,
  maxKeys: number,
  { layers, heads, keyValueHeads }: ModelHeads,
): number | undefined {
  if (policy.sparse === undefined) return undefined;
  const isFaster = policy.fallbackFor(costs) ?? (() => false);
  const rows = heads / keyValueHeads;
  for (let n = PAGE_KEYS; n <= maxKeys; n += PAGE_KEYS) {
    for (let layer = 0; layer < layers; layer++) {
      for (let head = 0; head < heads; head += rows) if (!isFaster({ n, layer, head, rows })) return n;
    }
  }
  return undefined;
}
