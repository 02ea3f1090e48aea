/** The cheapest setting whose predictions stay close enough to those of full attention. */
import type { PolicySpec } from 'keysieve';
import type { PolicyEvaluation, TextEvaluation } from './compare-policies.ts';

/** The quality that a setting must have, and what counts as cheap. */
export interface QualityTarget {
  /** The mean KL divergence from full attention that is tolerated, in nats. */
  kl: number;
  by: 'bytes' | 'time';
}

/** A setting and what it costs. */
export type Setting = Pick<PolicyEvaluation, 'policy' | 'budget' | 'prefill' | 'kl' | 'bytesPerKey' | 'msPerToken'>;

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

/** The cheapest of the evaluated settings that meets the target. */
export function suggest({ dense, policies }: TextEvaluation, target: QualityTarget): Suggestion {
  const costOf = ({ bytesPerKey, msPerToken }: Pick<Setting, 'bytesPerKey' | 'msPerToken'>) =>
    target.by === 'bytes' ? bytesPerKey : msPerToken;
  const ordered = policies.filter(({ budget }) => budget !== null).sort((a, b) => costOf(a) - costOf(b));
  const setting = ordered.find((candidate) => meetsTarget(candidate, target));
  const probable = ordered.find((candidate) => candidate.kl.mean <= target.kl);
  return {
    target,
    setting: setting === undefined ? null : pickSetting(setting),
    probable: probable === undefined || probable === setting ? null : pickSetting(probable),
    denseIsCheaper: setting !== undefined && costOf(dense) < costOf(setting),
  };
}

const pickSetting = ({ policy, budget, prefill, kl, bytesPerKey, msPerToken }: Setting): Setting => ({
  policy,
  budget,
  prefill,
  kl,
  bytesPerKey,
  msPerToken,
});
