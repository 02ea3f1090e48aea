/**
 * `keysieve eval --keys-for kl=X --lengths N,...`: how many keys a divergence takes at each length, with one fixed budget,
 * one alpha n^C for all heads, and a law that divides the same mean over the heads. The same last tokens of the text are
 * predicted at every length, from more and more of what stands before them.
 */
import { basename } from 'node:path';
import type { KeysForResult } from '@keysieve/lab';
import { formatTable, measureKeysFor, modelSettings, openSavedResults, textHash } from '@keysieve/lab';
import { llmError, type Model, readPromptFile } from '@keysieve/llm';
import { policyEncodings, policyNames } from 'keysieve';
import type { EvalOptions } from '../commands/eval.ts';
import { checkLaw, loadLaw } from '../law-budgets.ts';
import { formatCount, formatShare, note } from '../terminal.ts';
import { createProgressBars, requireText } from './run-text.ts';

/** Measures with a loaded model. */
export async function evaluateKeysFor(
  model: Model,
  options: EvalOptions & { keysFor: number },
  signal: AbortSignal,
): Promise<KeysForResult> {
  const { keysFor: maxKl, evalTokens, offset, save, cachePrecision, policy: policies = ['sieve'] } = options;
  const policy = requireOnePolicy(policies);
  const lengths = [...new Set(options.lengths)].sort((a, b) => a - b);
  const path = requireText(options);
  const content = await readPromptFile(path);
  const allTokens = model.tokenizer.encode(content, { special: false });
  checkLengths(lengths, evalTokens, allTokens.length - offset, path);
  const opened = options.law === undefined ? undefined : await loadLaw(options.law, [{ policy, budget: 'mean:1' }]);
  await checkLaw(opened, model, signal);
  const text = { name: basename(path), hash: textHash(content), offset };
  const settings = await modelSettings(model, cachePrecision, signal);
  const tokens = Int32Array.from(allTokens).subarray(offset, offset + (lengths.at(-1) as number));
  const saved = await openSavedResults(save, {
    ...settings,
    text: text.hash,
    offset,
    tokens: tokens.length,
    last: evalTokens,
  });
  if (saved.truncatedCharacters > 0) note(`The last line of ${save} was cut off: that result is computed again.`);
  const encodings = [...policyEncodings({ policy }), ...policyEncodings({ policy: 'topk' })];
  await using session = await model.createSession({ encodings, cachePrecision });
  const progress = createProgressBars();
  try {
    const measured = await measureKeysFor({
      model,
      session,
      tokens,
      evalTokens,
      lengths,
      policy,
      maxKl,
      saved,
      signal,
      ...(opened && { law: opened.law }),
      onProgress: progress.update,
    });
    return { model: settings, text, lawFile: opened?.path ?? null, ...measured };
  } finally {
    progress.stop();
  }
}

function requireOnePolicy(policies: readonly string[]): string {
  const [policy = '', ...rest] = policies;
  if (rest.length === 0 && policy !== 'dense' && policyNames().includes(policy)) return policy;
  throw llmError({
    code: 'invalid-argument',
    problem: 'Keys are counted for one policy, whose budgets are tried.',
    found: policies.join(', '),
    remedy: 'Give one --policy without a budget, other than dense.',
  });
}

function checkLengths(lengths: readonly number[], evalTokens: number, tokens: number, path: string): void {
  const [shortest = 0] = lengths;
  if (shortest > 2 * evalTokens && lengths.length > 1 && (lengths.at(-1) as number) <= tokens) return;
  throw llmError({
    code: 'invalid-argument',
    problem: `The growth of the keys needs two lengths or more, over twice --eval-tokens each, that ${path} has.`,
    found: `lengths ${lengths.join(', ')}, --eval-tokens ${evalTokens}, a text of ${tokens} tokens`,
    remedy: 'Change --lengths, lower --eval-tokens, or give a longer text.',
  });
}

/** The result as a table, and what follows from it in sentences. */
export function describeKeysFor(result: KeysForResult): string {
  const { kl, evalTokens, policy, text, lengths, fixed, power, law, cost, constantSupport } = result;
  const rows = [
    ['fixed', ...fixed.keys.map(formatCount), fixed.C.toFixed(2)],
    [`${power.alpha.toPrecision(3)} n^${power.C.toFixed(2)}`, ...power.keys.map(formatCount), power.C.toFixed(2)],
    ...(law === null ? [] : [['law', ...law.keys.map(formatCount), law.C.toFixed(2)]]),
  ];
  const sentences = [
    `One fixed budget that holds at every length has ${formatCount(cost.fixed)} keys: ${times(cost.overPower)} the mean ` +
      `keys of alpha n^C${cost.overLaw === null ? '' : `, ${times(cost.overLaw)} those of the law`}.`,
    `Is a constant number of keys enough? Agreement on the likeliest token with ${constantSupport.keys} keys, where ` +
      `${constantSupport.top1} is claimed for any length:`,
    ...constantSupport.policies.map(
      ({ policy, top1, holds }) =>
        `  ${policy}: ${top1.map(formatShare).join(', ')}: ${holds ? 'it holds here' : 'it does not hold here'}.`,
    ),
    `The keys for the same divergence grow as n^${fixed.C.toFixed(2)}${law === null ? '' : `, by the law as n^${law.C.toFixed(2)}`}.`,
  ];
  return [
    `Keys a head for a KL of at most ${kl}, ${policy} on ${text.name}, the last ${evalTokens} tokens:`,
    formatTable(['budget', ...lengths.map(formatCount), 'exponent'], rows),
    ...sentences,
  ].join('\n');
}

const times = (ratio: number): string => `${ratio.toFixed(2)} times`;
