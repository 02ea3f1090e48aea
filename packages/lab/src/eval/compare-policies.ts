/**
 * Compares policies on a text: the context is read once, and then its last tokens go through full attention and through
 * every policy, over the same cache; again for each policy that is to read the context.
 */
import { createPolicy, type PolicySpec } from 'keysieve';
import { type Interval, meanInterval } from '../numerics/interval.ts';
import { mean, quantile } from '../numerics/statistics.ts';
import type { AttentionFigures, LayerFigures } from './audit.ts';
import {
  type ComparedText,
  contextOf,
  measurePolicy,
  type PolicyMeasurement,
  predictWithFullAttention,
  type Reference,
  type StepFigures,
  specName,
  timeSteps,
} from './predictions.ts';
import { readContext } from './reading.ts';
import { policyKey, type SavedResults } from './saved-results.ts';

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
    msPerToken: number;
    attentionMsPerToken: number;
  };
  /** The policies that read the context, and the milliseconds that it took. */
  prefills: { policy: string; budget: string | null; ms: number }[];
  policies: PolicyEvaluation[];
}

/** What one policy costs. */
export interface PolicyEvaluation extends AttentionFigures {
  policy: string;
  budget: string | null;
  /** The policy that read the context. */
  prefill: { policy: string; budget: string | null };
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
  /** Median milliseconds of a decoding step, and of its attention. */
  msPerToken: number;
  attentionMsPerToken: number;
  layers: LayerFigures[];
}

/** What is compared, and how. */
export interface CompareOptions extends ComparedText {
  /** How the context is read, before every policy. */
  prefills: readonly PolicySpec[];
  /** Decoding steps that are timed. */
  timedSteps: number;
  /** Seed of the bootstrap. */
  seed: number;
  saved: SavedResults;
  /** Called with each result; where it gives false the remaining budgets of that policy are left out. Default: none are. */
  shouldContinue?(result: Pick<PolicyEvaluation, 'kl'>): boolean;
}

const DENSE: PolicySpec = { policy: 'dense' };

/** Compares the policies; what is saved already is not computed again. */
export async function comparePolicies(options: CompareOptions): Promise<TextEvaluation> {
  const { tokens, evalTokens, auditTokens, policies, prefills, seed } = options;
  const steps = createSteps(options);
  const reference = await steps.reference();
  const measured: Measured[] = [];
  for (const prefill of prefills) {
    const finishedPolicies = new Set<string>();
    for (const spec of policies) {
      if (finishedPolicies.has(spec.policy)) continue;
      const measurement = await steps.measure(spec, prefill);
      measured.push({ spec, prefill, measurement });
      if (options.shouldContinue?.(summarize(measurement, reference, seed)) === false)
        finishedPolicies.add(spec.policy);
    }
  }
  const times = await steps.time([DENSE, ...measured.map(({ spec }) => spec)]);
  const prefillResults: TextEvaluation['prefills'] = [];
  for (const prefill of prefills) prefillResults.push({ ...policyAndBudget(prefill), ms: await steps.readMs(prefill) });
  return {
    tokens: tokens.length,
    evalTokens,
    auditTokens: Math.min(auditTokens, evalTokens),
    dense: { nll: mean(reference.nll), ...stepOf(times, DENSE) },
    prefills: prefillResults,
    policies: measured.map(({ spec, prefill, measurement }) => ({
      ...policyAndBudget(spec),
      prefill: policyAndBudget(prefill),
      ...summarize(measurement, reference, seed),
      // A pass of many tokens counts a key that dense attention reads for several of them once.
      ...(createPolicy(spec).budget === undefined ? stepOf(times, spec) : timeOf(times, spec)),
      layers: measurement.layers,
    })),
  };
}

interface Measured {
  spec: PolicySpec;
  prefill: PolicySpec;
  measurement: PolicyMeasurement;
}

type DenseFigures = Pick<Reference, 'nll'>;

/** The steps of an evaluation: each gives what is saved, or does its work, and saves what comes of it. */
function createSteps(options: CompareOptions) {
  const { saved, timedSteps } = options;
  let context: string | undefined;
  let reference: Reference | undefined;

  async function savedOr<T>(key: object, work: () => Promise<T>): Promise<T> {
    const cached = saved.find<T>(key);
    if (cached !== undefined) return cached;
    const result = await work();
    await saved.keep(key, result);
    return result;
  }

  /** Sees to it that the context is in the cache, read with a policy. */
  async function ensureContext(spec: PolicySpec): Promise<void> {
    if (context === specName(spec)) return;
    const { session, tokens, evalTokens, policies, signal, onProgress } = options;
    const what = createPolicy(spec).budget === undefined ? 'reading' : `reading with ${specName(spec)}`;
    const onRead = (done: number, total: number) => onProgress(what, done, total);
    const reading = { session, attention: spec, policies, signal, onRead };
    const milliseconds = await readContext(reading, tokens.subarray(0, contextOf(options)), evalTokens);
    context = specName(spec);
    await saved.keep({ read: policyKey(spec) }, milliseconds);
  }

  /** The dense predictions with their logits, which are not saved: they are as large as the model's vocabulary. */
  async function predictions(): Promise<Reference> {
    if (reference !== undefined) return reference;
    await ensureContext(DENSE);
    reference = await predictWithFullAttention(options);
    return reference;
  }

  return {
    reference: () =>
      savedOr<DenseFigures>({ reference: DENSE }, async () => {
        const { nll } = await predictions();
        return { nll };
      }),
    measure: (spec: PolicySpec, prefill: PolicySpec) =>
      savedOr<PolicyMeasurement>({ measured: policyKey(spec), prefill: policyKey(prefill) }, async () => {
        const dense = await predictions();
        await ensureContext(prefill);
        return measurePolicy(options, spec, dense);
      }),
    time(specs: readonly PolicySpec[]) {
      const distinct = [...new Map(specs.map((spec) => [specName(spec), spec])).values()];
      return savedOr<Times>({ timed: distinct.map(policyKey), rounds: timedSteps }, async () => {
        await ensureContext(DENSE);
        const times = await timeSteps(options, distinct, timedSteps);
        return Object.fromEntries(distinct.map((spec, i) => [specName(spec), times[i] as StepFigures]));
      });
    },
    async readMs(spec: PolicySpec) {
      const cached = saved.find<number>({ read: policyKey(spec) });
      if (cached !== undefined) return cached;
      await ensureContext(spec);
      return saved.find<number>({ read: policyKey(spec) }) as number;
    },
  };
}

type Times = Record<string, StepFigures>;

function timeOf(times: Times, spec: PolicySpec) {
  const { milliseconds, attentionMs } = times[specName(spec)] as StepFigures;
  return { msPerToken: milliseconds, attentionMsPerToken: attentionMs };
}

const stepOf = (times: Times, spec: PolicySpec) => ({
  bytesPerKey: (times[specName(spec)] as StepFigures).bytesPerKey,
  ...timeOf(times, spec),
});

const policyAndBudget = (spec: PolicySpec) => ({
  policy: spec.policy,
  budget: createPolicy(spec).budget?.name ?? null,
});

function summarize(measurement: PolicyMeasurement, dense: DenseFigures, seed: number) {
  const { nll, kl, agrees, layers: _, ...figures } = measurement;
  return {
    nll: mean(nll),
    deltaNll: mean(nll) - mean(dense.nll),
    kl: { mean: mean(kl), p95: quantile(kl, 0.95), interval: meanInterval(kl, seed) },
    top1: mean(agrees.map((same) => (same ? 1 : 0))),
    ...figures,
  };
}
