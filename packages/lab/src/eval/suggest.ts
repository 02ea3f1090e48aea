/** The cheapest setting whose predictions stay close enough to those of dense attention. */
import type { PolicySpec } from 'keysieve';
import { formatNumber } from '../format/format.ts';
import type { PolicyEvaluation, TextEvaluation } from './text.ts';

/** What a setting must hold, and what counts as cheap. */
export interface QualityTarget {
  /** Most KL divergence from dense attention, in nats. */
  kl: number;
  by: 'bytes' | 'time';
}

export type Setting = Pick<PolicyEvaluation, 'policy' | 'budget' | 'prefill' | 'kl' | 'bytesPerKey' | 'msPerToken'>;

export interface Suggestion {
  target: QualityTarget;
  /** The cheapest setting that holds: the whole interval of its KL is within the limit. Null where none does. */
  setting: Setting | null;
  /**
   * A cheaper one whose mean KL is within the limit while its interval reaches past it: with more tokens it may turn out
   * to hold. Null where there is none.
   */
  probable: Setting | null;
  /** Whether dense attention costs less than the setting. */
  denseIsCheaper: boolean;
}

/** What is tried where neither policies nor budgets are given. */
export const LADDER = {
  policies: ['sieve', 'quest', 'snapkv', 'window'],
  budgets: [64, 128, 256, 512, 1024, 2048],
} as const;

/** The settings of the ladder that leave something out of a context, each policy's from cheap to dear. */
export const ladderSpecs = (tokens: number, policies: readonly string[] = LADDER.policies): PolicySpec[] =>
  policies.flatMap((policy) =>
    LADDER.budgets.filter((keys) => keys < tokens).map((keys) => ({ policy, budget: `fixed:${keys}` })),
  );

/** Whether a setting holds for certain, as far as the compared tokens tell. */
export const meetsTarget = ({ kl }: Pick<PolicyEvaluation, 'kl'>, { kl: limit }: QualityTarget): boolean =>
  kl.interval[1] <= limit;

/** Chooses among the policies of an evaluation. */
export function suggest({ dense, policies }: TextEvaluation, target: QualityTarget): Suggestion {
  const costOf = ({ bytesPerKey, msPerToken }: Pick<Setting, 'bytesPerKey' | 'msPerToken'>) =>
    target.by === 'bytes' ? bytesPerKey : msPerToken;
  const ordered = policies.filter(({ policy }) => policy !== 'dense').sort((a, b) => costOf(a) - costOf(b));
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

/** A suggestion in sentences. */
export function describeSuggestion(
  { target, setting, probable, denseIsCheaper }: Suggestion,
  denseMs: Setting['msPerToken'],
) {
  const limit = `a KL of at most ${formatNumber(target.kl)}`;
  const by = target.by === 'bytes' ? 'that reads the fewest bytes' : 'that is fastest';
  const lines = [
    setting === null
      ? `None of these settings holds ${limit}: read more keys, or stay with dense attention.`
      : `Of the settings that hold ${limit}, the one ${by}: ${nameOf(setting)}: ${describeFigures(setting)}.`,
  ];
  if (probable !== null) {
    lines.push(
      `${nameOf(probable)} is cheaper and may hold: ${describeFigures(probable)}. Compare more tokens (--eval-tokens) to be sure.`,
    );
  }
  if (denseIsCheaper) {
    const what = target.by === 'time' ? `is faster: ${denseMs.toFixed(1)} ms a token` : 'reads fewer bytes';
    lines.push(`But at this length dense attention ${what}.`);
  }
  return lines.join('\n');
}

/** As options: --policy sieve --budget fixed:256 */
const nameOf = ({ policy, budget, prefill }: Setting): string =>
  [
    `--policy ${policy}`,
    ...(budget === null ? [] : [`--budget ${budget}`]),
    ...(prefill.policy === 'dense' ? [] : [`--prefill ${prefill.policy}@${prefill.budget}`]),
  ].join(' ');

const describeFigures = ({ kl, bytesPerKey, msPerToken }: Setting): string =>
  `KL ${formatNumber(kl.mean)} (95 % interval ${formatNumber(kl.interval[0])} to ${formatNumber(kl.interval[1])}), ` +
  `${bytesPerKey.toFixed(1)} bytes a key, ${msPerToken.toFixed(1)} ms a token`;
