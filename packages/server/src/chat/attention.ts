/** Fields of requests that say how exact an answer is to be, and what is said of how exact it was. */
import type { AttentionSummary, Audit, GenerationResult, SessionOptions } from '@keysieve/llm';
import { certifiedPrompt, createPolicy, type Policy, type PolicySpec } from 'keysieve';
import { z } from 'zod';
import { invalidRequest } from '../http/api-error.ts';
import type { Settings } from '../options.ts';

export const attentionFields = {
  /** Policy of attention, such as `dense` or `sieve`. */
  attention: z.string().max(64).nullish(),
  /** Keys that a head reads, such as `fixed:256`. */
  budget: z.string().max(64).nullish(),
  /** Largest share of the softmax that an answer may leave out, certified. */
  certify: z.number().gt(0).max(1).nullish(),
  /** Largest share left out for each position of the prompt, certified, or read densely where that is faster. */
  certify_prompt: z.number().gt(0).max(1).nullish(),
  /** Whether equal requests get equal answers, whatever was asked before. */
  deterministic: z.boolean().nullish(),
  /** Positions of each answer that are run once more with full attention, to measure how exact it is. */
  audit: z.int().min(0).max(1024).nullish(),
};

export type AttentionFields = z.output<z.ZodObject<typeof attentionFields>>;

/** How a session attends that serves such a request. Throws 400 for what is no policy or budget. */
export function sessionSettings(
  { attention, budget, certify, certify_prompt, deterministic }: AttentionFields,
  defaults: Pick<Settings, 'attention' | 'prefill'>,
): SessionOptions {
  const isDefault = attention == null || attention === defaults.attention.policy;
  const policy: PolicySpec = {
    ...(isDefault ? defaults.attention : { policy: attention }),
    ...(budget != null && { budget }),
    ...(certify != null && { certify }),
  };
  let parsed: Policy;
  try {
    parsed = createPolicy(policy);
  } catch (error) {
    throw invalidRequest((error as Error).message, attention == null ? 'budget' : 'attention');
  }
  // Whoever says how to attend is read as sessions do it then.
  const configured = isDefault && budget == null ? defaults.prefill : undefined;
  const prefill =
    certify_prompt == null ? configured : certifiedPrompt(configured ?? parsed.promptPolicy(), certify_prompt);
  return {
    attention: policy,
    ...(prefill !== undefined && { prefill }),
    ...(deterministic === true && { deterministic }),
  };
}

/** How exact the attention of some tokens was. Shares and errors are relative, 0 to 1; null where nothing is known. */
export interface Exactness {
  policy: string;
  budget: string | null;
  /** Keys that a head read exactly, on average, and their share of those there were. */
  keys: number;
  share: number;
  /** Share of the softmax that was not read exactly. */
  left_out: { mean: number | null; max: number | null };
  /** Relative error of the attention's outputs. */
  output_error: { mean: number | null; max: number | null };
  /** What `left_out` and `output_error` are: certified, or estimated. */
  kind: string;
}

export function exactness(summary: AttentionSummary): Exactness {
  return {
    policy: summary.policy,
    budget: summary.budget,
    keys: summary.keysExact.mean,
    share: summary.keysExact.share,
    left_out: summary.tailMass,
    output_error: summary.outputError,
    kind: summary.kind,
  };
}

/** Attention of the prompt and of the answer; null for an answer of one token, which the reading of the prompt gives. */
export interface ExactnessOfAnswer {
  prompt: Exactness;
  answer: Exactness | null;
  /** What was measured at some positions of the answer; null where that was not asked for. */
  audit: Audit | null;
  /** What the answer depends on beside the request: `threads`, `reuse`, `passes`, or nothing. */
  depends_on: readonly string[];
}

export const exactnessOf = ({ prompt, answer, dependsOn }: GenerationResult): ExactnessOfAnswer => ({
  prompt: exactness(prompt.attention),
  answer: answer.attention && exactness(answer.attention),
  audit: answer.audit,
  depends_on: dependsOn,
});
