/** `keysieve eval` on a text: divergence from dense attention, errors, what is read and how long it takes. */
import { basename } from 'node:path';
import type { TextResult } from '@keysieve/lab';
import {
  describeSuggestion,
  evaluateText,
  formatTable,
  ladderSpecs,
  meetsTarget,
  modelSettings,
  openSavedResults,
  type PolicyEvaluation,
  suggest,
  textHash,
} from '@keysieve/lab';
import { llmError, type Model, readPromptFile } from '@keysieve/llm';
import { policyEncodings } from 'keysieve';
import type { EvalOptions } from '../commands/eval.ts';
import { checkLaw, loadLaw, withLawBudget } from '../law-budgets.ts';
import { policySpec, policySpecs } from '../options.ts';
import { createProgress, formatCount, formatShare, note, type Progress } from '../terminal.ts';

/** Evaluates with a loaded model. */
export async function evaluateTextFile(model: Model, options: EvalOptions, signal: AbortSignal): Promise<TextResult> {
  const { evalTokens, auditTokens, timedSteps, seed, save, offset, cachePrecision } = options;
  const path = requireText(options);
  const content = await readPromptFile(path);
  const tokens = takeTokens(model.tokenizer.encode(content, { special: false }), options);
  const prefillSpecs = (options.prefill ?? ['dense']).map(policySpec);
  const target = options.suggest === undefined ? undefined : { kl: options.suggest, by: options.suggestBy };
  const climbsLadder = target !== undefined && options.budget === undefined;
  const specs = climbsLadder ? ladderSpecs(tokens.length - evalTokens, options.policy) : policySpecs(options);
  const law = await loadLaw(options.law, [...specs, ...prefillSpecs]);
  await checkLaw(law, model, signal);
  const policies = specs.map((spec) => withLawBudget(spec, law));
  const prefills = prefillSpecs.map((spec) => withLawBudget(spec, law));
  const text = { name: basename(path), hash: textHash(content), offset };
  const settings = await modelSettings(model, cachePrecision, signal);
  const compared = { tokens: tokens.length, evalTokens, auditTokens };
  const saved = await openSavedResults(save, { ...settings, text: text.hash, offset, ...compared });
  if (saved.truncatedCharacters > 0) note(`The last line of ${save} was cut off: that result is computed again.`);
  const encodings = [...policies, ...prefills].flatMap(policyEncodings);
  await using session = await model.createSession({ encodings, cachePrecision });
  const progress = createProgressBars();
  try {
    const evaluation = await evaluateText({
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
      onProgress: progress.update,
      ...(climbsLadder && { shouldContinue: (result) => !meetsTarget(result, target) }),
    });
    const suggestion = target && suggest(evaluation, target);
    return { model: settings, text, seed, ...evaluation, ...(suggestion && { suggestion }) };
  } finally {
    progress.stop();
  }
}

/** A bar for each thing that is done, one after the other. */
export function createProgressBars() {
  let current: { what: string; bar: Progress } | undefined;
  const stop = () => {
    current?.bar.stop();
    current = undefined;
  };
  return {
    update(what: string, done: number, total: number): void {
      if (current?.what !== what) {
        stop();
        current = { what, bar: createProgress(what, what === 'timing' ? 'rounds' : 'tokens') };
      }
      current.bar.update(done, total);
      if (done >= total) stop();
    },
    stop,
  };
}

export function requireText({ text }: EvalOptions): string {
  if (text !== undefined) return text;
  throw llmError({
    code: 'invalid-argument',
    problem: 'There is no text.',
    remedy: 'Give --text FILE, or --task with tasks that make their own.',
  });
}

/** The tokens that were asked for. Throws `invalid-argument` where the text has fewer. */
function takeTokens(allTokens: ArrayLike<number>, { text, tokens, evalTokens, offset }: EvalOptions): Int32Array {
  if (evalTokens + 1 >= tokens) {
    throw llmError({
      code: 'invalid-argument',
      problem: 'There must be context before the tokens that are compared.',
      found: `--eval-tokens ${evalTokens} of --tokens ${tokens}`,
      remedy: 'Compare fewer tokens, or take more of the text.',
    });
  }
  if (offset + tokens > allTokens.length) {
    throw llmError({
      code: 'invalid-argument',
      problem: `${text ?? 'The text'} is too short.`,
      found: `${allTokens.length} tokens, of which ${offset + tokens} were asked for`,
      remedy: 'Lower --tokens or --offset, or give a longer text.',
    });
  }
  return Int32Array.from(allTokens).subarray(offset, offset + tokens);
}

/** The result as a table, and the suggestion in sentences. */
export function describeText({ tokens, evalTokens, dense, policies, suggestion }: TextResult): string {
  const heading =
    `${formatCount(tokens)} tokens, the last ${formatCount(evalTokens)} compared; dense: nll ${dense.nll.toFixed(4)}, ` +
    `${dense.bytesPerKey.toFixed(0)} bytes a key, ${dense.msPerToken.toFixed(1)} ms a token`;
  const rows = policies.map((row) => [
    row.policy,
    row.budget ?? '',
    row.prefill.policy === 'dense' ? 'dense' : `${row.prefill.policy} ${row.prefill.budget}`,
    row.kl.mean.toPrecision(3),
    row.top1.toFixed(3),
    row.deltaNll.toFixed(4),
    formatShare(row.outputError.mean),
    formatEstimatedError(row),
    formatCount(row.keysExact),
    formatCount(row.keysQuantized),
    row.bytesPerKey.toFixed(1),
    row.msPerToken.toFixed(1),
  ]);
  const names = ['policy', 'budget', 'prefill', 'KL', 'top-1', 'nll +', 'error', 'by itself', 'keys', 'by codes'];
  const table = formatTable([...names, 'bytes/key', 'ms'], rows);
  return [heading, table, ...(suggestion ? [describeSuggestion(suggestion, dense.msPerToken)] : [])].join('\n');
}

/** The error as the policy itself has it. */
const formatEstimatedError = ({ estimatedError, certificate }: PolicyEvaluation): string =>
  estimatedError.mean === null
    ? 'unknown'
    : `${certificate === 'certified' ? '<= ' : '~ '}${formatShare(estimatedError.mean)}`;
