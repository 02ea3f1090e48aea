/** What policies cost on a text. */
import type { Model } from '@keysieve/llm';
import { DEFAULT_BUDGET, type PolicySpec, type Precision, policyEncodings } from 'keysieve';
import { labError } from '../errors.ts';
import { type WorkOptions, workOf } from '../work.ts';
import { comparePolicies, type TextEvaluation } from './compare-policies.ts';
import { type ModelSettings, modelSettings } from './model-settings.ts';
import { openResults } from './saved-results.ts';
import { ladderSpecs, meetsTarget, type QualityTarget, type Suggestion, suggest } from './suggest.ts';
import { textHash } from './text-hash.ts';
import { type NamedText, takeTokens } from './tokens.ts';

/** What is evaluated, and on what. */
export interface EvaluateTextOptions extends WorkOptions {
  model: Model;
  text: NamedText;
  /** Tokens of the text that are used, the compared ones among them. Default: 2,048. */
  tokens?: number;
  /** Tokens to leave out at the beginning of the text. Default: 0. */
  offset?: number;
  /** Tokens at the end that go through the policies, one after the other. Default: 128. */
  evalTokens?: number;
  /** Compared tokens whose attention outputs are compared with full attention, head by head. Default: 16. */
  auditTokens?: number;
  /** Decoding steps that are timed. Default: 8. */
  timedSteps?: number;
  /**
   * The settings to compare, with laws applied (`withLawBudget`). Default: the sieve with its default budget; with a
   * `target` the ladder, of each policy up to the first budget that meets the target.
   */
  policies?: readonly PolicySpec[] | undefined;
  /** Names of the policies on the ladder. Default: the sieve and well-known baselines. */
  ladder?: readonly string[] | undefined;
  /** How the context is read, before every policy. Default: with full attention. */
  prefills?: readonly PolicySpec[];
  /** With a target the result suggests the cheapest setting that meets it. */
  target?: QualityTarget | undefined;
  /** Precision of the cache. Default: as sessions have it. */
  cachePrecision?: Precision | undefined;
  /** Seed of the bootstrap. Default: 1. */
  seed?: number;
  /** File that keeps results as they come; an interrupted evaluation continues from it. Default: none. */
  save?: string | undefined;
}

/** What the policies cost, on which text and with which settings. */
export interface TextResult extends TextEvaluation {
  model: ModelSettings;
  text: { name: string; hash: string; offset: number };
  seed: number;
  /** The cheapest setting, where a target was given. */
  suggestion?: Suggestion;
}

/**
 * Compares the predictions of policies with those of full attention on the last tokens of a text: the context is read
 * once for each prefill, and every policy continues from the same cache. Throws `invalid-argument` where the text or the
 * tokens before the compared ones are too few, `invalid-file` or `results-version` where `save` holds something else,
 * and what sessions throw.
 */
export async function evaluateText(options: EvaluateTextOptions): Promise<TextResult> {
  const { model, text, offset = 0, evalTokens = 128, seed = 1, save, target, cachePrecision } = options;
  const { tokens: count = 2048, auditTokens = 16, timedSteps = 8, prefills = [{ policy: 'dense' }] } = options;
  const { signal, onProgress, onNote } = workOf(options);
  checkContext(count, evalTokens);
  const tokens = takeTokens(model.tokenizer.encode(text.content, { special: false }), {
    name: text.name,
    offset,
    count,
  });
  const climbsLadder = target !== undefined && options.policies === undefined;
  const policies = options.policies ?? defaultPolicies(count - evalTokens, options);
  const settings = await modelSettings(model, cachePrecision, signal);
  const hash = textHash(text.content);
  const run = { ...settings, text: hash, offset, tokens: count, evalTokens, auditTokens };
  const saved = await openResults(save, run, onNote);
  const encodings = [...policies, ...prefills].flatMap(policyEncodings);
  await using session = await model.createSession({ attention: { policy: 'dense' }, encodings, cachePrecision });
  const evaluation = await comparePolicies({
    model,
    session,
    tokens,
    evalTokens,
    auditTokens,
    timedSteps,
    seed,
    policies,
    prefills,
    saved,
    signal,
    onProgress,
    ...(climbsLadder && { shouldContinue: (result) => !meetsTarget(result, target) }),
  });
  const suggestion = target && suggest(evaluation, target);
  const result = { model: settings, text: { name: text.name, hash, offset }, seed, ...evaluation };
  return suggestion === undefined ? result : { ...result, suggestion };
}

const defaultPolicies = (context: number, { target, ladder }: EvaluateTextOptions): PolicySpec[] =>
  target === undefined ? [{ policy: 'sieve', budget: DEFAULT_BUDGET }] : ladderSpecs(context, ladder);

function checkContext(tokens: number, evalTokens: number): void {
  if (evalTokens + 1 < tokens) return;
  throw labError({
    code: 'invalid-argument',
    problem: 'There must be context before the compared tokens.',
    found: `${evalTokens} compared tokens of ${tokens}`,
    remedy: 'Compare fewer tokens, or take more of the text.',
  });
}
