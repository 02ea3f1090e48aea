/** What a policy is made of. Core has some of its own; others are registered: see `registerPolicies`. */
import type { Budget } from '../budgets/budget.ts';
import type { Eviction } from '../evictions/eviction.ts';
import type { GroupWork } from '../group/group-work.ts';
import type { Part } from '../group/parts.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { Views } from '../kernels/views.ts';
import type { Selector } from '../selectors/selector.ts';
import type { SieveStepResult } from '../sieve/step.ts';
import type { Tail } from '../tails/tail.ts';

interface NamedDefinition {
  /** The name that `PolicySpec.policy` gives, unique among all policies. */
  readonly name: string;
  /** What the policy does, in a few words that complete "the policy reads": for help texts. */
  readonly meaning: string;
}

/** Reads every key, and has neither budget nor parts. */
export interface DenseDefinition extends NamedDefinition {
  readonly kind: 'dense';
}

/** Attends to the keys that a selector chooses, and estimates the others by a tail. */
export interface SparseDefinition extends NamedDefinition {
  readonly kind: 'sparse';
  /** Makes the selector; every thread makes one of its own for every budget. */
  readonly selector: () => Selector;
  readonly tail: () => Tail;
  /** Selector and tail in one call of the kernels. Default: one after the other. */
  readonly step?: FusedStep;
  /**
   * Whether budgets of tail mass are done by certified steps, all heads of a GQA group together, in place of selector and
   * tail. Default: false.
   */
  readonly certifiesMass?: boolean;
}

/** Keeps a limited number of keys and forgets the others, by the attention that they have received. */
export interface EvictingDefinition extends NamedDefinition {
  readonly kind: 'evicting';
  readonly eviction: () => Eviction;
}

export type PolicyDefinition = DenseDefinition | SparseDefinition | EvictingDefinition;

/** A decode step in one call of the kernels. */
export interface FusedStep {
  /** Undefined where the step has to be done by selector and tail. */
  attend(work: GroupWork, budget: Budget): SieveStepResult | undefined;
  readonly split: SplitStep;
}

/** A fused step in parts that several threads take: see `sieve/split-step.ts`. Only used where `attend` can be. */
export interface SplitStep {
  bytes(rows: number, headDim: number): number;
  attend(work: GroupWork, budget: Budget, part: Part, views: () => Views, address: number): void;
  merge(work: GroupWork, parts: number, kernels: Kernels, views: () => Views, address: number): SieveStepResult;
}
