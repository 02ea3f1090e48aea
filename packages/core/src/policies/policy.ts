/**
 * A policy: a budget, a selector and a tail estimate, or an eviction, under one name. It is parsed once, from what a
 * caller writes, and from then on answers for itself, so that nobody has to know which policy it is.
 */

import { maxKeys } from '../budgets/budget.ts';
import {
  type Budget,
  type BudgetContext,
  type BudgetPlan,
  type BudgetText,
  createBudget,
  type KeyBudget,
  type ParsedBudget,
  readBudget,
} from '../budgets/index.ts';
import { invariant, KeysieveError } from '../errors.ts';
import type { Eviction } from '../evictions/eviction.ts';
import { completeEncodings, type Encoding } from '../kernels/layout.ts';
import { floatBelow } from '../kernels/rounding.ts';
import { type GroupPosition, groupBudget, type Selector } from '../selectors/selector.ts';
import type { Tail } from '../tails/tail.ts';
import type { CORE_POLICIES } from './core-policies.ts';
import type { EvictingDefinition, FusedStep, SparseDefinition } from './definition.ts';
import { policyDefinition } from './registry.ts';
import { fullIsFasterThanBounds, fullIsFasterThanSieve, type StepCosts } from './step-costs.ts';

/** Names of the policies of this package, for editors, and of any that were registered. */
export type PolicyName = (typeof CORE_POLICIES)[number]['name'] | (string & Record<never, never>);

/** A policy as it is written. */
export interface PolicySpec {
  /** One of `policyNames()`. */
  policy: PolicyName;
  /** As `parseBudget` reads it, or the name of the total that `plan` divides. Default: `DEFAULT_BUDGET`. Ignored by `dense`. */
  budget?: BudgetText | undefined;
  /** Keys for every head on its own, as `planBudget` divides them by a law. */
  plan?: BudgetPlan | undefined;
  /**
   * Share of the softmax that may stay unread, certified, in (0, 1]: a row whose certificate allows more reads further
   * keys, by the encoding `bounds`, in the end all. Default: no certificate is asked for.
   */
  certify?: number | undefined;
}

/** A policy as plain data, with its budget read: what travels to worker threads. */
export interface ParsedPolicy {
  readonly policy: string;
  readonly budget: ParsedBudget;
  readonly certify?: number;
}

/** Selects keys, and estimates what the others would have added. */
export interface SparseParts {
  readonly budget: Budget;
  readonly selector: Selector;
  readonly tail: Tail;
  /** Selector and tail in one call of the kernels, where there is such a step. */
  readonly step?: FusedStep;
  /** What every row is certified to, where that was asked for. */
  readonly certified?: CertifiedTarget;
  /** Whether the heads of a GQA group are attended together. */
  readonly unit: Selector['unit'];
}

/** How rows are certified: see `certificates/certified-step.ts`. */
export interface CertifiedTarget {
  /** Share of the softmax that may stay unread. */
  readonly tailMass: number;
  /** Whether no other attempt is made before: the policy's own selection could not be certified, or is this one. */
  readonly atOnce: boolean;
  /** What a row's keys are called then: those that the policy selects, or more than it would. */
  readonly outcome: 'asSelected' | 'certificateFallback';
}

/** Keeps a limited number of keys, and forgets the others. */
export interface EvictingParts {
  readonly budget: KeyBudget;
  readonly eviction: Eviction;
}

/** Whether full attention is faster for the query heads of one position that choose together. */
export type DenseFallback = (group: GroupPosition) => boolean;

/** A policy, parsed. */
export interface Policy {
  readonly name: PolicyName;
  readonly parsed: ParsedPolicy;
  /** Undefined where every key is read. */
  readonly budget: Budget | undefined;
  /** Encodings that a cache must keep for it, beside the exact rows. */
  readonly encodings: readonly Encoding[];
  /** How keys are selected; undefined where every key is read, or keys are evicted. */
  readonly sparse: SparseParts | undefined;
  /** How keys are evicted. Such a policy has to be shown what prompts attend to: see `Attention.observe`. */
  readonly evicting: EvictingParts | undefined;
  /** The name, the budget and the certificate in a few words: `sieve fixed:256, certified 0.05`. */
  describe(): string;
  /** Maximum number of keys that a head reads exactly: all n where the policy has no limit. */
  keys(context: BudgetContext): number;
  /** Keys of the sample that the heads of a group share; undefined where the policy draws none. */
  sampleSize(group: GroupPosition): number | undefined;
  /** Whether full attention may be faster than the policy on some machine: else costs need not be measured. */
  readonly mayFallBack: boolean;
  /** When full attention is faster than the policy, by what steps cost; undefined where it is never asked. */
  fallbackFor(costs: StepCosts): DenseFallback | undefined;
  /**
   * What the policy means for reading a prompt: itself, without its certificate, where blocks of queries can share a
   * sample, else `dense`.
   */
  promptPolicy(): PolicySpec;
}

/**
 * The budget of a policy that names none: 158 keys of 2,048, 317 of 8,192, 634 of 32,768. At a fixed number predictions
 * stray the further the longer the context is, and short ones read more than they need.
 */
export const DEFAULT_BUDGET = 'power:3.5,0.5';

/** The policy that reads every key. */
export const FULL_ATTENTION: PolicySpec = { policy: 'dense' };

/**
 * How a prompt is read so that at most a share of the softmax stays unread, certified: each position has a certificate of
 * its own, and where reading every key is faster, that is done. Policies without a budget read every key anyway.
 */
export const certifiedPrompt = (prompt: PolicySpec, certify: number): PolicySpec =>
  createPolicy(prompt).budget === undefined ? prompt : { ...prompt, certify };

/** Parses a policy. Throws `invalid-argument`. */
export function createPolicy({ policy, budget = DEFAULT_BUDGET, plan, certify }: PolicySpec): Policy {
  const isDense = policyDefinition(policy).kind === 'dense';
  const text = isDense ? DEFAULT_BUDGET : budget;
  const parsedBudget = plan === undefined ? readBudget(text) : { name: text, plan };
  return openPolicy({ policy, budget: parsedBudget, ...(certify !== undefined && { certify }) });
}

/** Opens a policy that was parsed, here or in another thread. Throws `invalid-argument` where a number is out of range. */
export function openPolicy(parsed: ParsedPolicy): Policy {
  const { policy: name, certify } = parsed;
  const tailMass = certify === undefined ? undefined : readShare(certify);
  const definition = policyDefinition(name);
  switch (definition.kind) {
    case 'dense':
      return assemble(parsed, {});
    case 'evicting':
      return assemble(parsed, { evicting: createEvictingParts(definition, createBudget(parsed.budget), tailMass) });
    case 'sparse':
      return assemble(parsed, createSparsePolicy(definition, createBudget(parsed.budget), tailMass));
  }
}

/** Encodings that a cache must keep for a policy, beside the exact rows. Throws `invalid-argument`. */
export const policyEncodings = (spec: PolicySpec): readonly Encoding[] => createPolicy(spec).encodings;

/** What a policy does, by its definition. */
interface PolicyParts {
  readonly sparse?: SparseParts;
  readonly evicting?: EvictingParts;
  /** Whether blocks of a prompt's queries can share a sample. */
  readonly samplesBlocks?: boolean;
}

function assemble(parsed: ParsedPolicy, { sparse, evicting, samplesBlocks = false }: PolicyParts): Policy {
  const { policy: name, certify } = parsed;
  const budget = sparse?.budget ?? evicting?.budget;
  return {
    name,
    parsed,
    budget,
    encodings: sparse === undefined ? [] : encodingsOf(sparse),
    sparse,
    evicting,
    describe: () =>
      [
        name,
        ...(budget === undefined ? [] : [` ${budget.name}`]),
        ...(certify === undefined ? [] : [`, certified ${certify}`]),
      ].join(''),
    keys: (context) => (budget === undefined ? context.n : maxKeys(budget, context)),
    sampleSize: (group) => sparse && sampleSizeOf(sparse, group),
    mayFallBack: sparse !== undefined && mayFallBack(sparse),
    fallbackFor: (costs) => (sparse !== undefined && mayFallBack(sparse) ? fallbackOf(sparse, costs) : undefined),
    promptPolicy: () => (samplesBlocks ? specOf(parsed, budget as Budget) : FULL_ATTENTION),
  };
}

const specOf = ({ policy, budget: parsed }: ParsedPolicy, budget: Budget): PolicySpec => ({
  policy,
  budget: budget.name,
  ...('plan' in parsed && { plan: parsed.plan }),
});

const encodingsOf = ({ selector, tail, certified }: SparseParts): readonly Encoding[] =>
  completeEncodings([
    ...selector.encodings,
    ...tail.encodings,
    ...(certified === undefined ? [] : CERTIFIED_ENCODINGS),
  ]);

/** What certified steps read beside exact rows. */
const CERTIFIED_ENCODINGS: readonly Encoding[] = ['bounds'];

const sampleSizeOf = ({ selector, budget }: SparseParts, group: GroupPosition): number | undefined =>
  selector.sampleSize?.(groupBudget(group, budget), group.n);

/** Costs are known of certified steps, and of samples of a number of keys. */
const mayFallBack = ({ selector, budget, certified }: SparseParts): boolean =>
  certified !== undefined || (selector.sampleSize !== undefined && budget.tailMass === undefined);

/** Reading every key gives the best certificate there is, and where none was asked for the best output. */
const fallbackOf = (parts: SparseParts, costs: StepCosts): DenseFallback =>
  parts.certified === undefined
    ? (group) => fullIsFasterThanSieve(costs, group.n, sampleSizeOf(parts, group) as number)
    : ({ n }) => fullIsFasterThanBounds(costs, n);

function createSparsePolicy(
  { selector: createSelector, tail: createTail, step, certifiesMass = false }: SparseDefinition,
  budget: Budget,
  certify: number | undefined,
): PolicyParts {
  const { blockSampling, ...single } = createSelector();
  const samplesBlocks = blockSampling !== undefined && budget.tailMass === undefined;
  const tail = createTail();
  const certified = certifiedTarget(budget, tail, certifiesMass, certify);
  // A sample that a block of queries shares has no certificate of its own, so every position is selected for.
  const selector = certify === undefined && blockSampling !== undefined ? { ...single, blockSampling } : single;
  const unit = certified?.atOnce ? 'group' : selector.unit;
  return {
    sparse: { budget, selector, tail, unit, ...(step && { step }), ...(certified && { certified }) },
    samplesBlocks,
  };
}

/** What rows are certified to: the share that was asked for, or a budget that is one. */
function certifiedTarget(
  budget: Budget,
  tail: Tail,
  certifiesMass: boolean,
  certify: number | undefined,
): CertifiedTarget | undefined {
  const mass = certifiesMass ? budget.tailMass : undefined;
  if (certify === undefined) {
    return mass === undefined ? undefined : { tailMass: mass, atOnce: true, outcome: 'asSelected' };
  }
  if (mass !== undefined) return { tailMass: Math.min(mass, certify), atOnce: true, outcome: 'asSelected' };
  // The weights of a sample are estimates, which certify nothing.
  return { tailMass: certify, atOnce: tail.requiresSample, outcome: 'certificateFallback' };
}

function createEvictingParts(
  { name, eviction }: EvictingDefinition,
  budget: Budget,
  certify: number | undefined,
): EvictingParts {
  if (certify === undefined && budget.tailMass === undefined) return { budget, eviction: eviction() };
  throw new KeysieveError({
    code: 'invalid-argument',
    problem: `The policy ${name} forgets keys, so that it can guarantee no share of the softmax.`,
    found: certify === undefined ? budget.name : `certify ${certify}`,
    remedy: 'Give a number of keys, such as fixed:256, and do not certify.',
  });
}

function readShare(tailMass: number): number {
  invariant(tailMass > 0 && tailMass <= 1, () => ({
    code: 'invalid-argument',
    problem: 'The share of the softmax to certify must be in (0, 1].',
    found: tailMass,
    remedy: 'Give a share such as 0.05.',
  }));
  // Certificates travel as float32, rounded up, and must not exceed what was asked for on the way.
  return floatBelow(tailMass);
}
