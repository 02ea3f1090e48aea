/**
 * Compares policies on a text: the context is read once, and then its last tokens go through full attention and through
 * every policy, over the same cache; again for each policy that is to read the context.
 */
import { createPolicy, type PolicySpec } from 'keysieve';
import { labError } from '../errors.ts';
import { type Interval, meanInterval } from '../numerics/interval.ts';
import { mean, quantile } from '../numerics/statistics.ts';
import type { CellResult, ResultOf } from '../results/cell.ts';
import type { AttentionFigures, LayerFigures } from './audit.ts';
import { type StepTimes, specName } from './predictions.ts';
import {
  DENSE,
  type MeasuredCell,
  measuredCell,
  type TextCell,
  type TextPlan,
  type TextTimings,
  timedCell,
} from './text-cells.ts';
import type { PolicyName, TextTimes } from './times.ts';

/** What policies cost on a text. */
export interface TextEvaluation {
  /** Tokens of the text, the compared ones among them. */
  tokens: number;
  evalTokens: number;
  auditTokens: number;
  /** Full attention. */
  dense: {
    /** Mean negative log-likelihood of the last tokens, in nats. */
    nll: number;
    /** Bytes read for each key of the context and key-value head. */
    bytesPerKey: number;
  };
  /** The policies that read the context. */
  prefills: PolicyName[];
  policies: PolicyEvaluation[];
  /** All that a clock has measured; null where nothing was timed. */
  times: TextTimes | null;
}

/** What one policy costs. */
export interface PolicyEvaluation extends AttentionFigures, PolicyName {
  /** The policy that read the context. */
  prefill: PolicyName;
  /** Mean negative log-likelihood of the last tokens, in nats, and how much more that is than with full attention. */
  nll: number;
  deltaNll: number;
  /**
   * KL divergence of the predictions from those of full attention, in nats: mean and 95th percentile over the last tokens,
   * and the 95 % bootstrap confidence interval of the mean.
   */
  kl: { mean: number; p95: number; interval: Interval };
  /** Share of the tokens at which both have the same likeliest token. */
  top1: number;
  layers: LayerFigures[];
}

/** What is compared, and how results are summed up. */
export interface CompareOptions extends TextPlan {
  auditTokens: number;
  /** Seed of the bootstrap. */
  seed: number;
  /** Called with each result; where it gives false the remaining budgets of that policy are left out. Default: none are. */
  shouldContinue?: ((result: Pick<PolicyEvaluation, 'kl'>) => boolean) | undefined;
}

/** Compares the policies by the results of their cells. */
export async function comparePolicies(options: CompareOptions, resultOf: ResultOf<TextCell>): Promise<TextEvaluation> {
  const { tokens, evalTokens, auditTokens, policies, prefills, timedSteps, seed } = options;
  const measured: { spec: PolicySpec; evaluation: PolicyEvaluation }[] = [];
  let dense: TextEvaluation['dense'] | undefined;
  for (const prefill of prefills) {
    const finishedPolicies = new Set<string>();
    for (const spec of policies) {
      if (finishedPolicies.has(spec.policy)) continue;
      const { value } = await resultOf<MeasuredCell>(measuredCell(options, spec, prefill));
      dense ??= value.dense;
      const evaluation = { ...nameOf(spec), prefill: nameOf(prefill), ...summarize(value, seed) };
      measured.push({ spec, evaluation });
      if (options.shouldContinue?.(evaluation) === false) finishedPolicies.add(spec.policy);
    }
  }
  if (dense === undefined) {
    throw labError({
      code: 'invalid-argument',
      problem: 'There are no policies to compare.',
      remedy: 'Name a policy, and a way to read the context.',
    });
  }
  const specs = measured.map(({ spec }) => spec);
  const cell = timedCell(options, specs);
  return {
    tokens,
    evalTokens,
    auditTokens: Math.min(auditTokens, evalTokens),
    dense,
    prefills: prefills.map(nameOf),
    policies: measured.map(({ evaluation }) => evaluation),
    times: timedSteps === 0 ? null : timesOf(await resultOf<null, TextTimings>(cell), prefills, [DENSE, ...specs]),
  };
}

function timesOf(
  { times }: CellResult<null, TextTimings>,
  prefills: readonly PolicySpec[],
  specs: readonly PolicySpec[],
): TextTimes | null {
  if (times === null) return null;
  const { machine, reading, steps } = times;
  const distinct = [...new Map(specs.map((spec) => [specName(spec), spec])).values()];
  return {
    machine,
    prefills: prefills.map((spec) => ({ ...nameOf(spec), ms: reading[specName(spec)] as number })),
    steps: distinct.map((spec) => ({ ...nameOf(spec), ...(steps[specName(spec)] as StepTimes) })),
  };
}

const nameOf = (spec: PolicySpec): PolicyName => ({
  policy: spec.policy,
  budget: createPolicy(spec).budget?.name ?? null,
});

function summarize(measurement: MeasuredCell, seed: number) {
  const { nll, kl, agrees, layers, dense, ...figures } = measurement;
  return {
    nll: mean(nll),
    deltaNll: mean(nll) - dense.nll,
    kl: { mean: mean(kl), p95: quantile(kl, 0.95), interval: meanInterval(kl, seed) },
    top1: mean(agrees.map((same) => (same ? 1 : 0))),
    ...figures,
    layers,
  };
}
