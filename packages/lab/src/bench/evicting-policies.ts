import { createPolicy, type PolicySpec } from 'keysieve';
import { labError } from '../errors.ts';

/** Throws `invalid-argument` if a policy evicts keys: it needs the queries of a whole prompt, and here there are few. */
export function rejectEvictingPolicies(specs: readonly PolicySpec[]): void {
  const evicting = specs.find((spec) => createPolicy(spec).evicting !== undefined);
  if (evicting === undefined) return;
  throw labError({
    code: 'invalid-argument',
    problem: 'A policy that evicts keys needs all queries of a prompt, and here there are only the last ones.',
    found: evicting.policy,
    remedy: 'Evaluate it on a text instead.',
  });
}
