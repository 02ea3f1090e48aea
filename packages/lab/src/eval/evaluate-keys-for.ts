/** How many keys a divergence takes as the context grows, on a text. */
import type { Model } from '@keysieve/llm';
import { createPolicy, type LawFile, type Precision, policyEncodings, policyNames } from 'keysieve';
import { labError } from '../errors.ts';
import { type ModelSettings, modelSettings } from '../results/model-settings.ts';
import { openResults } from '../results/saved-results.ts';
import { textHash } from '../results/text-hash.ts';
import { type WorkOptions, workOf } from '../work.ts';
import { type KeysForLengths, measureKeysFor } from './keys-for-lengths.ts';
import type { NamedText } from './tokens.ts';

/** Which keys are counted, and on what. */
export interface EvaluateKeysForOptions extends WorkOptions {
  model: Model;
  text: NamedText;
  /** Tokens to leave out at the beginning of the text. Default: 0. */
  offset?: number;
  /** Context lengths in tokens: two or more, each over twice `evalTokens`. */
  lengths: readonly number[];
  /** Tokens at the end that are compared, the same at every length. Default: 128. */
  evalTokens?: number;
  /** The mean KL divergence from full attention that is tolerated, in nats. */
  maxKl: number;
  /** Name of the policy whose budgets are tried. Default: `sieve`. */
  policy?: string;
  /** A law of the model, to count the keys that it divides over the heads as well. */
  law?: LawFile | undefined;
  /** Precision of the cache. Default: as sessions have it. */
  cachePrecision?: Precision | undefined;
  /** File that keeps results as they come; an interrupted evaluation continues from it. Default: none. */
  save?: string | undefined;
}

/** The keys at each length, on which text and with which settings. */
export interface KeysForResult extends KeysForLengths {
  model: ModelSettings;
  text: { name: string; hash: string; offset: number };
}

/**
 * Finds the fewest keys that keep the divergence within a limit at each length: with one fixed budget, with alpha n^C for
 * all heads, and divided over the heads by a law. The same last tokens are predicted at every length, from more and more
 * of the text before them. Throws `invalid-argument` where policy or lengths do not fit, and what `evaluateText` throws.
 */
export async function evaluateKeysFor(options: EvaluateKeysForOptions): Promise<KeysForResult> {
  const { model, text, offset = 0, evalTokens = 128, maxKl, policy = 'sieve', law, save, cachePrecision } = options;
  const { signal, onProgress, onNote } = workOf(options);
  checkPolicy(policy);
  const lengths = [...new Set(options.lengths)].sort((a, b) => a - b);
  const allTokens = model.tokenizer.encode(text.content, { special: false });
  checkLengths(lengths, evalTokens, allTokens.length - offset, text.name);
  const settings = await modelSettings(model, { cachePrecision }, signal);
  const tokens = Int32Array.from(allTokens).subarray(offset, offset + (lengths.at(-1) as number));
  const hash = textHash(text.content);
  const run = { ...settings, text: hash, offset, tokens: tokens.length, evalTokens };
  const saved = await openResults(save, run, onNote);
  const encodings = [policy, 'topk'].flatMap((name) => policyEncodings({ policy: name }));
  await using session = await model.createSession({ attention: { policy: 'dense' }, encodings, cachePrecision });
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
    onProgress,
    ...(law && { law }),
  });
  return { model: settings, text: { name: text.name, hash, offset }, ...measured };
}

function checkPolicy(policy: string): void {
  if (policyNames().includes(policy) && createPolicy({ policy }).budget !== undefined) return;
  throw labError({
    code: 'invalid-argument',
    problem: 'Keys are counted for one policy that has a budget, named without it.',
    found: policy,
    remedy: `Choose one of ${policyNames().join(', ')}, but not dense.`,
  });
}

function checkLengths(lengths: readonly number[], evalTokens: number, tokens: number, name: string): void {
  const [shortest = 0] = lengths;
  if (shortest > 2 * evalTokens && lengths.length > 1 && (lengths.at(-1) as number) <= tokens) return;
  throw labError({
    code: 'invalid-argument',
    problem: `Two lengths or more are needed, each over twice the compared tokens and no longer than ${name}.`,
    found: `lengths ${lengths.join(', ')}, ${evalTokens} compared tokens, a text of ${tokens} tokens`,
    remedy: 'Change the lengths, compare fewer tokens, or give a longer text.',
  });
}
