/**
 * What policies cost on a text: the context is read once, and then its last tokens go through dense attention and
 * through every policy, over the same cache.
 */
import type { Model, Session } from '@keysieve/llm';
import { type AttentionReport, addReport, type CertificateKind, emptyReport, type PolicySpec } from 'keysieve';
import { indexOfLargest, klDivergence, logProbabilities, mean, quantile } from './divergence.ts';

export interface TextEvaluation {
  tokens: number;
  last: number;
  dense: { nll: number; msPerToken: number };
  policies: PolicyEvaluation[];
}

export interface PolicyEvaluation {
  policy: string;
  budget: string | null;
  /** Whether the context, too, was read by the policy, or densely. */
  prefill: 'dense' | 'policy';
  /** Mean negative log-likelihood of the last tokens, in nats. */
  nll: number;
  deltaNll: number;
  /** Divergence of the predictions from those of dense attention: mean and 95th percentile over the last tokens, in nats. */
  kl: { mean: number; p95: number };
  /** Share of the tokens where both give the same likeliest token. */
  top1: number;
  /** Of the heads' outputs, as the certificates have it; null where nothing is known of at least one. */
  outputError: { mean: number | null; max: number | null };
  tailMass: { mean: number; max: number };
  certificate: CertificateKind;
  /** Keys that a head read exactly, and by their codes; bytes read for each key of the context and key-value head. */
  keysRead: number;
  keysCoded: number;
  bytesPerKey: number;
  /** Share of the rows that were attended densely. */
  dense: number;
  msPerToken: number;
}

export interface TextOptions {
  model: Model;
  session: Session;
  tokens: Int32Array;
  /** Tokens at the end that are compared. */
  last: number;
  policies: readonly PolicySpec[];
  /** Policies that read the whole context, too, by blocks; the last tokens as well. */
  prefills: readonly PolicySpec[];
  signal: AbortSignal;
  onProgress(what: string, done: number, total: number): void;
}

/** Tokens of a pass that reads, and of one whose predictions are compared: their logits are held at once. */
const READ_TOKENS = 512;
const COMPARED_TOKENS = 64;

export async function evaluateText(options: TextOptions): Promise<TextEvaluation> {
  const { tokens, last, policies, prefills } = options;
  // The prediction of a token is made by the one before it.
  const context = tokens.length - last - 1;
  await read(options, 'reading', 0, context);
  const reference = await predict(options, { policy: 'dense' }, context, false);
  const dense = { nll: mean(reference.nll), msPerToken: reference.milliseconds / last };
  const results: PolicyEvaluation[] = [];
  for (const spec of policies) {
    results.push(summarise(options, spec, 'dense', reference, await predict(options, spec, context, false, reference)));
  }
  for (const spec of prefills) {
    options.session.truncate(0);
    await read(options, `reading with ${spec.policy}`, 0, context, spec);
    results.push(summarise(options, spec, 'policy', reference, await predict(options, spec, context, true, reference)));
  }
  return { tokens: tokens.length, last, dense, policies: results };
}

/** Reads tokens [from, to) into the cache, and leaves them there. */
async function read(
  { session, tokens, signal, onProgress }: TextOptions,
  what: string,
  from: number,
  to: number,
  attention: PolicySpec = { policy: 'dense' },
): Promise<void> {
  const options = { attention, chunkTokens: READ_TOKENS, sharing: true, logits: false, signal };
  onProgress(what, from, to);
  for await (const { position } of session.evaluate(tokens.subarray(from, to), options)) {
    onProgress(what, Math.min(to, position + READ_TOKENS), to);
  }
}

/** Predictions of the last tokens. */
interface Predictions {
  /** Of each token: ln of all probabilities; kept for the dense reference only. */
  distributions: Float64Array[];
  nll: number[];
  best: number[];
  kl: number[];
  report: AttentionReport;
  milliseconds: number;
}

/** Sends the last tokens through a policy, and forgets them again. Without a reference, it is one itself. */
async function predict(
  { model, session, tokens, last, signal, onProgress }: TextOptions,
  attention: PolicySpec,
  context: number,
  sharing: boolean,
  reference?: Predictions,
): Promise<Predictions> {
  const { vocabularySize } = model.config;
  const found: Predictions = { distributions: [], nll: [], best: [], kl: [], report: emptyReport(), milliseconds: 0 };
  const options = { attention, chunkTokens: COMPARED_TOKENS, sharing, signal };
  const what = attention.budget === undefined ? attention.policy : `${attention.policy} ${attention.budget}`;
  let started = performance.now();
  onProgress(what, 0, last);
  for await (const { logits, attention: report } of session.evaluate(tokens.subarray(context, -1), options)) {
    found.milliseconds += performance.now() - started;
    addReport(found.report, report);
    for (let row = 0; row < logits.length / vocabularySize; row++) {
      const index = found.nll.length;
      const distribution = logProbabilities(logits.subarray(row * vocabularySize, (row + 1) * vocabularySize));
      found.nll.push(-(distribution[tokens[context + index + 1] as number] as number));
      found.best.push(indexOfLargest(distribution));
      if (reference === undefined) found.distributions.push(distribution);
      else found.kl.push(klDivergence(reference.distributions[index] as Float64Array, distribution));
    }
    onProgress(what, found.nll.length, last);
    started = performance.now();
  }
  session.truncate(context);
  return found;
}

function summarise(
  { last, model }: TextOptions,
  { policy, budget }: PolicySpec,
  prefill: 'dense' | 'policy',
  dense: Predictions,
  found: Predictions,
): PolicyEvaluation {
  const { report } = found;
  const finite = (x: number) => (Number.isFinite(x) ? x : null);
  const group = model.config.heads / model.config.keyValueHeads;
  return {
    policy,
    budget: budget ?? null,
    prefill,
    nll: mean(found.nll),
    deltaNll: mean(found.nll) - mean(dense.nll),
    kl: { mean: mean(found.kl), p95: quantile(found.kl, 0.95) },
    top1: mean(found.best.map((token, i) => (token === dense.best[i] ? 1 : 0))),
    outputError: { mean: finite(report.outputError.sum / report.rows), max: finite(report.outputError.max) },
    tailMass: { mean: report.tailMass.sum / report.rows, max: report.tailMass.max },
    certificate: report.certificate,
    keysRead: report.keysRead / report.rows,
    keysCoded: report.keysCoded / report.rows,
    bytesPerKey: report.bytesRead / (report.keys / group),
    dense: report.rowsDense / report.rows,
    msPerToken: found.milliseconds / last,
  };
}
