/** The cells of an evaluation of a text: one for each policy and prefill, and one that times all of them in turn. */
import { createPolicy, type PolicySpec } from 'keysieve';
import { mean } from '../numerics/statistics.ts';
import type { Cell, CellResult } from '../results/cell.ts';
import { policyKey, type RunSettings } from '../results/saved-results.ts';
import { timingMachine } from '../results/timing-machine.ts';
import {
  type ComparedText,
  contextOf,
  measurePolicy,
  type PolicyMeasurement,
  predictWithFullAttention,
  type Reference,
  type StepTimes,
  specName,
  stepBytes,
  timeSteps,
} from './predictions.ts';
import { readContext } from './reading.ts';

/** What is to be compared on a text. */
export interface TextPlan {
  run: RunSettings;
  /** Tokens of the text, the compared ones among them. */
  tokens: number;
  evalTokens: number;
  policies: readonly PolicySpec[];
  /** How the context is read, before every policy. */
  prefills: readonly PolicySpec[];
  /** Decoding steps that are timed; 0 times nothing. */
  timedSteps: number;
}

/** What a cell asks for: what a policy predicts after a prefill, or the times of steps and of reading. */
export type TextStep =
  | { measured: PolicySpec; prefill: PolicySpec }
  | { timed: readonly PolicySpec[]; prefills: readonly PolicySpec[]; rounds: number };

export interface TextCell extends Cell {
  readonly step: TextStep;
}

/** What a policy predicts, beside full attention on the same text. */
export interface MeasuredCell extends PolicyMeasurement {
  dense: {
    /** Mean negative log-likelihood of the compared tokens, in nats. */
    nll: number;
    /** Bytes read for each key of the context and key-value head. */
    bytesPerKey: number;
  };
}

/** Times of the settings, which are named by `specName`. */
export interface TextTimings {
  /** Milliseconds of reading the context. */
  reading: Record<string, number>;
  /** Medians over decoding steps: milliseconds of the whole model, and of its attention. */
  steps: Record<string, StepTimes>;
}

export const DENSE: PolicySpec = { policy: 'dense' };

/** The cell of a policy after a prefill. */
export const measuredCell = (plan: TextPlan, spec: PolicySpec, prefill: PolicySpec): TextCell => ({
  run: plan.run,
  key: { measured: policyKey(spec), prefill: policyKey(prefill) },
  // The compared tokens go through full attention as well.
  tokens: plan.tokens + plan.evalTokens,
  step: { measured: spec, prefill },
});

/** The cell of the times of full attention and of the given policies. */
export function timedCell(plan: TextPlan, specs: readonly PolicySpec[]): TextCell {
  const { run, prefills, timedSteps: rounds, tokens } = plan;
  const timed = [...new Map([DENSE, ...specs].map((spec) => [specName(spec), spec])).values()];
  return {
    run,
    key: { timed: timed.map(policyKey), prefills: prefills.map(policyKey), rounds },
    tokens: tokens * prefills.length + rounds * timed.length,
    step: { timed, prefills, rounds },
  };
}

/** All cells of a plan: those that share a reading one after the other, and the times last. */
export const textCells = (plan: TextPlan): TextCell[] => [
  ...plan.prefills.flatMap((prefill) => plan.policies.map((spec) => measuredCell(plan, spec, prefill))),
  ...(plan.timedSteps > 0 ? [timedCell(plan, plan.policies)] : []),
];

/** Computes cells of one text, one after the other: what is read for one of them serves the next. */
export function createTextComputer(options: ComparedText & { threads: number }) {
  let context: string | undefined;
  let reference: (Reference & { bytesPerKey: number }) | undefined;
  const readingMs = new Map<string, number>();

  /** Sees to it that the context is in the cache, read with a policy. */
  async function ensureContext(spec: PolicySpec): Promise<void> {
    if (context === specName(spec)) return;
    const { session, tokens, policies, signal, onProgress } = options;
    const what = createPolicy(spec).budget === undefined ? 'reading' : `reading with ${specName(spec)}`;
    const onRead = (done: number, total: number) => onProgress(what, done, total);
    context = undefined;
    const reading = { session, attention: spec, policies, signal, onRead };
    readingMs.set(specName(spec), await readContext(reading, tokens.subarray(0, contextOf(options))));
    context = specName(spec);
  }

  async function predictions() {
    if (reference !== undefined) return reference;
    await ensureContext(DENSE);
    const predicted = await predictWithFullAttention(options);
    reference = { ...predicted, bytesPerKey: await stepBytes(options, DENSE) };
    return reference;
  }

  async function measure(spec: PolicySpec, prefill: PolicySpec): Promise<CellResult<MeasuredCell, never>> {
    const dense = await predictions();
    await ensureContext(prefill);
    const measurement = await measurePolicy(options, spec, dense);
    // A pass of many tokens counts a key that full attention reads for several of them once.
    const bytesPerKey =
      createPolicy(spec).budget === undefined ? await stepBytes(options, spec) : measurement.bytesPerKey;
    return {
      value: { ...measurement, bytesPerKey, dense: { nll: mean(dense.nll), bytesPerKey: dense.bytesPerKey } },
      times: null,
    };
  }

  async function time(specs: readonly PolicySpec[], prefills: readonly PolicySpec[], rounds: number) {
    for (const prefill of prefills) if (!readingMs.has(specName(prefill))) await ensureContext(prefill);
    await ensureContext(DENSE);
    const steps = await timeSteps(options, specs, rounds);
    const timings: TextTimings = {
      reading: Object.fromEntries(prefills.map((spec) => [specName(spec), readingMs.get(specName(spec)) as number])),
      steps: Object.fromEntries(specs.map((spec, i) => [specName(spec), steps[i] as StepTimes])),
    };
    return { value: null, times: { machine: timingMachine(options.threads), ...timings } };
  }

  return async ({ step }: TextCell): Promise<CellResult> =>
    'measured' in step ? measure(step.measured, step.prefill) : time(step.timed, step.prefills, step.rounds);
}
