/**
 * A policy: budget, selector and tail estimate, under one name. `dense` has none of them and reads every key.
 */
import { type Budget, type BudgetPlan, createPlanBudget, parseBudget } from '../budgets/index.ts';
import { invariant, KeysieveError } from '../errors.ts';
import { EVICTIONS, type Eviction } from '../evictions/index.ts';
import type { GroupWork } from '../group/group-work.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { completeEncodings, type Encoding } from '../kernels/layout.ts';
import { floatBelow } from '../kernels/reference/rounding.ts';
import type { Views } from '../kernels/views.ts';
import createInt8Scan from '../selectors/int8-scan.ts';
import { attendSievePart, mergeSieveParts, type Part, partBytes } from '../sieve/split-step.ts';
import { attendSieve, type SieveStepResult } from '../sieve/step.ts';
import createQuantized from '../tails/quantized.ts';
import { SELECTORS, type Selector } from './selectors.ts';
import { TAILS, type Tail } from './tails.ts';

/** A policy as it is written, and as it travels between threads. */
export interface PolicySpec {
  /** One of `POLICY_NAMES`. */
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
  /** Selector and tail at once, where that can be: undefined where it cannot. */
  readonly attend?: (work: GroupWork, budget: Budget) => SieveStepResult | undefined;
  /** The same in parts that several threads can take. */
  readonly split?: SplitStep;
  /** How rows are certified whose own certificate will not do, where that was asked for. */
  readonly certifier?: Certifier;
}

/** A step in parts: see `sieve-parts.ts`. It is only taken where `attend` could be. */
export interface SplitStep {
  bytes(rows: number, headDim: number): number;
  attend(work: GroupWork, budget: Budget, part: Part, views: () => Views, address: number): void;
  merge(work: GroupWork, parts: number, kernels: Kernels, views: () => Views, address: number): SieveStepResult;
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
  readonly name: 'dense';
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

const splitSieveStep: SplitStep = { bytes: partBytes, attend: attendSievePart, merge: mergeSieveParts };

/**
 * The selector and the tail of each sparse policy.
 *
 * - `sieve`: a scan by signs, a sample, its heaviest keys exactly and the others by 4-bit codes.
 * - `int8`: the keys with the largest bounds by int8 codes; with a budget of tail mass certified. `int8-means` adds page
 *   means, `int8-tail` the other keys by their codes, and then certifies the output as well.
 * - `sign`: the keys with the largest scores by signs (RaBitQ, arXiv 2405.12497).
 * - `topk`: the keys with the largest scores; it scores them all, and shows what a selector can reach. `topk-means` adds
 *   page means.
 * - `quest`: boxes of 16 keys with the largest bounds (arXiv 2406.10774).
 * - `twilight`: of scores by 4-bit codes as many of the largest as have a share of the softmax (arXiv 2502.02770).
 * - `window`: the first and the last keys (StreamingLLM, arXiv 2309.17453).
 * - `dense-int8`, `dense-int4`: every key, by codes of 8 or of 4 bits; the budget is of those that stay as they came, the
 *   first and the last (KIVI, arXiv 2402.02750).
 */
const SPARSE_POLICIES: Readonly<Record<string, PolicyParts>> = {
  sieve: { selector: 'sieve', tail: 'sampled', attend: attendSieve, split: splitSieveStep },
  int8: { selector: 'int8-scan', tail: 'none' },
  'int8-means': { selector: 'int8-scan', tail: 'page-means' },
  'int8-tail': { selector: 'int8-scan', tail: 'quantized' },
  sign: { selector: 'sign-scan', tail: 'none' },
  topk: { selector: 'oracle', tail: 'none' },
  'topk-means': { selector: 'oracle', tail: 'page-means' },
  quest: { selector: 'quest', tail: 'none' },
  twilight: { selector: 'twilight', tail: 'none' },
  window: { selector: 'window', tail: 'none' },
  'dense-int8': { selector: 'window', tail: 'int8' },
  'dense-int4': { selector: 'window', tail: 'int4' },
};

interface PolicyParts {
  selector: string;
  tail: string;
  attend?: NonNullable<SparsePolicy['attend']>;
  split?: SplitStep;
}

/**
 * Every policy that there is. Those of an eviction, `h2o`, `snapkv` and `tova`, need to be shown what prompts attend to:
 * see `Attention.observe`.
 */
export const POLICY_NAMES: readonly string[] = ['dense', ...Object.keys(SPARSE_POLICIES), ...Object.keys(EVICTIONS)];

/** The policy that `spec` names. Throws `invalid-argument`. */
export function createPolicy({ policy: name, budget = DEFAULT_BUDGET, plan, certify }: PolicySpec): Policy {
  const certifier = certify === undefined ? undefined : createCertifier(certify);
  if (name === 'dense') return { kind: 'dense', name };
  const eviction = Object.hasOwn(EVICTIONS, name) ? EVICTIONS[name] : undefined;
  if (eviction !== undefined) return createEvictingPolicy(name, eviction(), budgetOf(budget, plan), certifier);
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
  const { attend, split } = parts as PolicyParts;
  const policy = {
    kind: 'sparse',
    name,
    budget: budgetOf(budget, plan),
    tail: tail(),
    ...(attend && { attend }),
    ...(split && { split }),
  } as const;
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
