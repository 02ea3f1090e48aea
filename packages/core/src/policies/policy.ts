/**
 * A policy: budget, selector and tail estimate, under one name. `dense` has none of them and reads every key.
 */
import { type Budget, parseBudget } from '../budgets/index.ts';
import { KeysieveError } from '../errors.ts';
import { completePlanes, type Plane } from '../kernels/layout.ts';
import { SELECTORS, type Selector } from '../selectors/index.ts';
import { TAILS, type Tail } from '../tails/index.ts';

/** A policy as it is written, and as it travels between threads. */
export interface PolicySpec {
  /** One of `POLICY_NAMES`. */
  policy: string;
  /** As `parseBudget` reads it. Default: `fixed:256`. Not looked at by `dense`. */
  budget?: string;
}

/** Selects keys. */
export interface SparsePolicy {
  readonly kind: 'sparse';
  readonly name: string;
  readonly budget: Budget;
  readonly selector: Selector;
  readonly tail: Tail;
}

/** Reads every key. */
export interface DensePolicy {
  readonly kind: 'dense';
  readonly name: 'dense';
}

/** A policy, ready to be used. */
export type Policy = DensePolicy | SparsePolicy;

/** The budget of a policy that names none. */
export const DEFAULT_BUDGET = 'fixed:256';

/** The selector and the tail of each sparse policy. */
const SPARSE_POLICIES: Readonly<Record<string, { selector: string; tail: string }>> = {
  window: { selector: 'window', tail: 'none' },
  topk: { selector: 'oracle', tail: 'none' },
  sieve: { selector: 'sieve', tail: 'sampled' },
};

/** Every policy that there is. */
export const POLICY_NAMES: readonly string[] = ['dense', ...Object.keys(SPARSE_POLICIES)];

/** The policy that `spec` names. Throws `invalid-argument`. */
export function createPolicy({ policy: name, budget = DEFAULT_BUDGET }: PolicySpec): Policy {
  if (name === 'dense') return { kind: 'dense', name };
  const parts = SPARSE_POLICIES[name];
  const selector = parts && SELECTORS[parts.selector];
  const tail = parts && TAILS[parts.tail];
  if (selector === undefined || tail === undefined) {
    throw new KeysieveError({
      code: 'invalid-argument',
      problem: 'There is no such attention policy.',
      found: name,
      remedy: `Choose one of ${POLICY_NAMES.join(', ')}.`,
    });
  }
  return { kind: 'sparse', name, budget: parseBudget(budget), selector: selector(), tail: tail() };
}

/** The planes that a cache must keep, beside the exact one, for a policy. Throws `invalid-argument`. */
export function policyPlanes(spec: PolicySpec): Plane[] {
  const policy = createPolicy(spec);
  return policy.kind === 'dense' ? [] : completePlanes([...policy.selector.planes, ...policy.tail.planes]);
}
