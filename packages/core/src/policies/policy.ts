/**
 * A policy: budget, selector and tail estimate, under one name. `dense` has none of them and reads every key.
 */
import { type Budget, type BudgetPlan, createPlanBudget, parseBudget } from '../budgets/index.ts';
import { invariant, KeysieveError } from '../errors.ts';
import type { Eviction } from '../evictions/eviction.ts';
import { completeEncodings, type Encoding } from '../kernels/layout.ts';
import { floatBelow } from '../kernels/rounding.ts';
import createInt8Scan from '../selectors/int8-scan.ts';
import type { Selector } from '../selectors/selector.ts';
import createQuantized from '../tails/quantized.ts';
import type { Tail } from '../tails/tail.ts';
import type { FusedStep, SparseDefinition } from './definition.ts';
import { policyDefinition } from './registry.ts';

/** A policy as it is written, and as it travels between threads. */
export interface PolicySpec {
  /** One of `policyNames()`. */
  policy: string;
  /** As `parseBudget` reads it, or what `plan` is called. Default: `DEFAULT_BUDGET`. Not looked at by `dense`. */
  budget?: string;
  /** Keys for every head on its own, as `planBudget` divides them by a law. */
  plan?: BudgetPlan;
  /**
   * Largest share of the softmax that may stay unread, certified: a row whose certificate does not say so reads more
   * keys, by the bounds of the plane `int8`, in the end all. More than 0, at most 1. Default: none is asked for.
   */
  certify?: number;
}

/** Selects keys. */
export interface SparsePolicy {
  readonly kind: 'sparse';
  readonly name: string;
  readonly budget: Budget;
  readonly selector: Selector;
  readonly tail: Tail;
  /** Selector and tail in one call of the kernels, where there is such a step. */
  readonly step?: FusedStep;
  /** How rows are certified whose own certificate will not do, where that was asked for. */
  readonly certifier?: Certifier;
}

/** Chooses as many keys as leave at most `budget.tailMass` unread for certain. */
export interface Certifier {
  readonly selector: Selector;
  readonly tail: Tail;
  readonly budget: Budget;
  readonly tailMass: number;
}

/** Reads every key. */
export interface DensePolicy {
  readonly kind: 'dense';
  readonly name: string;
}

/** Keeps a limited number of keys, and forgets the others. */
export interface EvictingPolicy {
  readonly kind: 'evicting';
  readonly name: string;
  readonly budget: Budget;
  readonly eviction: Eviction;
}

/** A policy, ready to be used. */
export type Policy = DensePolicy | SparsePolicy | EvictingPolicy;

/**
 * The budget of a policy that names none: 158 keys of 2,048, 317 of 8,192, 634 of 32,768. At a fixed number predictions
 * stray the further the longer the context is, and short ones read more than they need.
 */
export const DEFAULT_BUDGET = 'power:3.5,0.5';

/** The policy that `spec` names. Throws `invalid-argument`. */
export function createPolicy({ policy: name, budget = DEFAULT_BUDGET, plan, certify }: PolicySpec): Policy {
  const certifier = certify === undefined ? undefined : createCertifier(certify);
  const definition = policyDefinition(name);
  switch (definition.kind) {
    case 'dense':
      return { kind: 'dense', name };
    case 'evicting':
      return createEvictingPolicy(name, definition.eviction(), budgetOf(budget, plan), certifier);
    case 'sparse':
      return createSparsePolicy(definition, budgetOf(budget, plan), certifier);
  }
}

function createSparsePolicy(
  { name, selector, tail, step }: SparseDefinition,
  budget: Budget,
  certifier: Certifier | undefined,
): SparsePolicy {
  const policy = { kind: 'sparse', name, budget, tail: tail(), ...(step && { step }) } as const;
  if (certifier === undefined) return { ...policy, selector: selector() };
  // A sample that a block of queries shares has no certificate of its own: every position is asked.
  const { blockSampling: _, ...single } = selector();
  return { ...policy, selector: single, certifier };
}

const budgetOf = (budget: string, plan: BudgetPlan | undefined): Budget =>
  plan === undefined ? parseBudget(budget) : createPlanBudget(budget, plan);

function createEvictingPolicy(
  name: string,
  eviction: Eviction,
  budget: Budget,
  certifier: Certifier | undefined,
): EvictingPolicy {
  invariant(certifier === undefined && budget.tailMass === undefined, () => ({
    code: 'invalid-argument',
    problem: `The policy ${name} cannot read on once it has forgotten keys: no share of the softmax is sure to be read.`,
    found: certifier === undefined ? budget.name : `certify ${certifier.tailMass}`,
    remedy: 'Give a number of keys, such as fixed:256, and do not certify.',
  }));
  return { kind: 'evicting', name, budget, eviction };
}

function createCertifier(tailMass: number): Certifier {
  if (!(tailMass > 0 && tailMass <= 1)) {
    throw new KeysieveError({
      code: 'invalid-argument',
      problem: 'What is certified is a share of the softmax.',
      found: tailMass,
      remedy: 'Give a number above 0 and at most 1, such as 0.05.',
    });
  }
  // Certificates travel as float32, rounded up, and must not pass what was asked for on the way.
  const roundedTailMass = floatBelow(tailMass);
  return {
    selector: createInt8Scan(),
    tail: createQuantized(),
    budget: parseBudget(`mass:${roundedTailMass}`),
    tailMass: roundedTailMass,
  };
}

/** The planes that a cache must keep, beside the exact one, for a policy. Throws `invalid-argument`. */
export function policyEncodings(spec: PolicySpec): Encoding[] {
  const policy = createPolicy(spec);
  if (policy.kind !== 'sparse') return [];
  const { selector, tail, certifier } = policy;
  return completeEncodings([
    ...selector.encodings,
    ...tail.encodings,
    ...(certifier?.selector.encodings ?? []),
    ...(certifier?.tail.encodings ?? []),
  ]);
}
