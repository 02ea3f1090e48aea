/** The cheapest setting whose predictions stay close enough to those of full attention. */
import type { PolicySpec } from 'keysieve';
import type { PolicyEvaluation, TextEvaluation } from './compare-policies.ts';
import { msPerTokenOf } from './times.ts';

/** The quality that a setting must have, and what counts as cheap. */
export interface QualityTarget {
  /** The mean KL divergence from full attention that is tolerated, in nats. */
  kl: number;
  by: 'bytes' | 'time';
}

/** A setting and what it costs. */
export interface Setting extends Pick<PolicyEvaluation, 'policy' | 'budget' | 'prefill' | 'kl' | 'bytesPerKey'> {
  /** Null where nothing was timed. */
  msPerToken: number | null;
}

/** A suggested setting. */
export interface Suggestion {
  target: QualityTarget;
  /** The cheapest setting that meets the target: the whole interval of its KL is within the limit. Null if none does. */
  setting: Setting | null;
  /**
   * A cheaper setting whose mean KL is within the limit while its interval is not: with more compared tokens it may turn
   * out to meet the target. Null if there is none.
   */
  probable: Setting | null;
  /** Whether full attention costs less than the setting. */
  denseIsCheaper: boolean;
}

/** The policies and budgets of the ladder. */
export const LADDER = {
  policies: ['sieve', 'quest', 'snapkv', 'window'],
  budgets: [64, 128, 256, 512, 1024, 2048],
} as const;

/** The settings of the ladder that read less than all of a context of `tokens`, from cheap to dear within a policy. */
export const ladderSpecs = (tokens: number, policies: readonly string[] = LADDER.policies): PolicySpec[] =>
  policies.flatMap((policy) =>
    LADDER.budgets.filter((keys) => keys < tokens).map((keys) => ({ policy, budget: `fixed:${keys}` })),
  );

/** Whether the 95 % interval of a setting's divergence is within the limit. */
export const meetsTarget = ({ kl }: Pick<PolicyEvaluation, 'kl'>, { kl: limit }: QualityTarget): boolean =>
  kl.interval[1] <= limit;

/** The cheapest of the evaluated settings that meets the target; by time only what was timed is known. */
export function suggest(evaluation: SuggestedFrom, target: QualityTarget): Suggestion {
  const { dense, policies } = evaluation;
  const costOf = ({ bytesPerKey, msPerToken }: Pick<Setting, 'bytesPerKey' | 'msPerToken'>) =>
    target.by === 'bytes' ? bytesPerKey : (msPerToken ?? Number.POSITIVE_INFINITY);
  const ordered = policies
    .filter(({ budget }) => budget !== null)
    .map(({ policy, budget, prefill, kl, bytesPerKey }): Setting => {
      const msPerToken = msPerTokenOf(evaluation, { policy, budget });
      return { policy, budget, prefill, kl, bytesPerKey, msPerToken };
    })
    .sort((a, b) => costOf(a) - costOf(b));
  const setting = ordered.find((candidate) => meetsTarget(candidate, target)) ?? null;
  const probable = ordered.find((candidate) => candidate.kl.mean <= target.kl) ?? null;
  const denseCost = costOf({ ...dense, msPerToken: msPerTokenOf(evaluation, { policy: 'dense', budget: null }) });
  return {
    target,
    setting,
    probable: probable === setting ? null : probable,
    denseIsCheaper: setting !== null && denseCost < costOf(setting),
  };
}

type SuggestedFrom = Pick<TextEvaluation, 'dense' | 'times'> & {
  policies: readonly Pick<PolicyEvaluation, 'policy' | 'budget' | 'prefill' | 'kl' | 'bytesPerKey'>[];
};
