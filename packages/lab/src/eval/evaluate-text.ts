/** What policies cost on a text. */
import type { Model, Scan } from '@keysieve/llm';
import { DEFAULT_BUDGET, type PolicySpec, type Precision, policyEncodings } from 'keysieve';
import { labError } from '../errors.ts';
import type { ResultOf } from '../results/cell.ts';
import { type ModelSettings, modelSettings } from '../results/model-settings.ts';
import { type Run, runAlone } from '../results/run.ts';
import { textHash } from '../results/text-hash.ts';
import { type WorkOptions, workOf } from '../work.ts';
import { type CompareOptions, comparePolicies, type TextEvaluation } from './compare-policies.ts';
import { ladderSpecs, meetsTarget, type QualityTarget, type Suggestion, suggest } from './suggest.ts';
import { createTextComputer, DENSE, type TextCell, type TextPlan, textCells } from './text-cells.ts';
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
  /** Decoding steps that are timed; 0 times nothing. Default: 8. */
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
  /** What the sieve scans keys by. Default: as sessions have it. */
  scan?: Scan | undefined;
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

/** An evaluation of a text as plain data: what its report is made from, beside the results of its cells. */
export interface TextRunPlan extends TextPlan {
  kind: 'text';
  model: ModelSettings;
  text: TextResult['text'];
  auditTokens: number;
  seed: number;
  target: QualityTarget | null;
  /** Whether the larger budgets of a policy are left out once one meets the target. */
  climbsLadder: boolean;
}

/**
 * Compares the predictions of policies with those of full attention on the last tokens of a text: the context is read
 * once for each prefill, and every policy continues from the same cache. Throws `invalid-argument` where the text or the
 * tokens before the compared ones are too few, or where nothing is timed and the target asks for the fastest setting;
 * `invalid-file` or `results-version` where `save` holds something else, and what sessions throw.
 */
export async function evaluateText(options: EvaluateTextOptions): Promise<TextResult> {
  return runAlone(await prepareText(options), options);
}

/** An evaluation of a text whose cells are still to be computed. Throws as `evaluateText`. */
export async function prepareText(options: EvaluateTextOptions): Promise<Run<TextCell, TextResult>> {
  const { model, text, offset = 0, evalTokens = 128, seed = 1, target, cachePrecision, scan } = options;
  const { tokens: count = 2048, auditTokens = 16, timedSteps = 8, prefills = [{ policy: 'dense' }] } = options;
  const work = workOf(options);
  checkTarget(target, timedSteps);
  checkContext(count, evalTokens);
  const tokens = takeTokens(model.tokenizer.encode(text.content, { special: false }), {
    name: text.name,
    offset,
    count,
  });
  const climbsLadder = target !== undefined && options.policies === undefined;
  const policies = options.policies ?? defaultPolicies(count - evalTokens, options);
  const settings = await modelSettings(model, { cachePrecision, scan }, work.signal);
  const hash = textHash(text.content);
  const plan: TextRunPlan = {
    kind: 'text',
    run: { ...settings, text: hash, offset, tokens: count, evalTokens, auditTokens },
    model: settings,
    text: { name: text.name, hash, offset },
    tokens: count,
    evalTokens,
    auditTokens,
    timedSteps,
    seed,
    policies,
    prefills,
    target: target ?? null,
    climbsLadder,
  };
  return {
    plan,
    cells: dividedCells(plan),
    async open() {
      const encodings = [...policies, ...prefills].flatMap(policyEncodings);
      const session = await model.createSession({ attention: DENSE, encodings, cachePrecision, scan });
      const compute = createTextComputer({
        model,
        session,
        tokens,
        evalTokens,
        auditTokens,
        policies,
        threads: model.threads,
        ...work,
      });
      return { compute, [Symbol.asyncDispose]: () => session.dispose() };
    },
    result: (resultOf) => textResult(plan, resultOf),
  };
}

/** The cells of an evaluation; undefined where it climbs a ladder, and so each result decides what is computed next. */
export const dividedCells = (plan: TextRunPlan): TextCell[] | undefined =>
  plan.climbsLadder ? undefined : textCells(plan);

/** The result of an evaluation of a text, by the results of its cells. */
export async function textResult(plan: TextRunPlan, resultOf: ResultOf<TextCell>): Promise<TextResult> {
  const { model, text, seed, target, climbsLadder } = plan;
  const shouldContinue: CompareOptions['shouldContinue'] =
    climbsLadder && target !== null ? (result) => !meetsTarget(result, target) : undefined;
  const evaluation = await comparePolicies({ ...plan, shouldContinue }, resultOf);
  const result = { model, text, seed, ...evaluation };
  return target === null ? result : { ...result, suggestion: suggest(evaluation, target) };
}

const defaultPolicies = (context: number, { target, ladder }: EvaluateTextOptions): PolicySpec[] =>
  target === undefined ? [{ policy: 'sieve', budget: DEFAULT_BUDGET }] : ladderSpecs(context, ladder);

function checkTarget(target: QualityTarget | undefined, timedSteps: number): void {
  if (target?.by !== 'time' || timedSteps > 0) return;
  throw labError({
    code: 'invalid-argument',
    problem: 'The fastest setting is known only where steps are timed.',
    found: 'no timed steps',
    remedy: 'Time some steps, or ask for the setting that reads the fewest bytes.',
  });
}

function checkContext(tokens: number, evalTokens: number): void {
  if (evalTokens + 1 < tokens) return;
  throw labError({
    code: 'invalid-argument',
    problem: 'There must be context before the compared tokens.',
    found: `${evalTokens} compared tokens of ${tokens}`,
    remedy: 'Compare fewer tokens, or take more of the text.',
  });
}
