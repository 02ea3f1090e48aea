/** Predictions of the last tokens of a text, by full attention and by policies over the same cache. */
import type { EvaluateOptions, Model, Session } from '@keysieve/llm';
import type { PolicySpec } from 'keysieve';
import { argmax, klDivergence, logSoftmax } from '../numerics/softmax.ts';
import { median } from '../numerics/statistics.ts';
import { type AttentionFigures, createAudit, evenlySpaced, type LayerFigures } from './audit.ts';

/** A text, and the tokens at its end that are compared. */
export interface ComparedText {
  model: Pick<Model, 'config'>;
  session: Session;
  tokens: Int32Array;
  /** Tokens at the end that are compared. */
  evalTokens: number;
  /** Compared tokens whose outputs are compared with full attention, head by head. */
  auditTokens: number;
  /** The policies that continue from the context; those that evict keys observe its queries. */
  policies: readonly PolicySpec[];
  signal: AbortSignal;
  onProgress(what: string, done: number, total: number): void;
}

/** The predictions of full attention. */
export interface Reference {
  /** -ln of the probability of each compared token, and the likeliest token at its position. */
  nll: number[];
  best: number[];
  /** Logits at each compared position: (vocabulary) each. */
  logits: Float32Array[];
}

/** The predictions of a policy, against those of full attention. */
export interface PolicyMeasurement extends AttentionFigures {
  /** For each compared token, -ln of its probability, KL to full attention, and whether the likeliest token is the same. */
  nll: number[];
  kl: number[];
  agrees: boolean[];
  layers: LayerFigures[];
}

/** Tokens of a pass: their logits are held at once. */
const COMPARED_TOKENS = 64;

/** The number of tokens before the first that goes through a policy: a token is predicted by the one before it. */
export const contextOf = ({ tokens, evalTokens }: Pick<ComparedText, 'tokens' | 'evalTokens'>): number =>
  tokens.length - evalTokens - 1;

/** A policy as people read it: `sieve fixed:256`. */
export const specName = ({ policy, budget }: PolicySpec): string =>
  budget === undefined ? policy : `${policy} ${budget}`;

/** Predicts the compared tokens with full attention, in a fork: the session stays as it is. */
export async function predictWithFullAttention(text: ComparedText): Promise<Reference> {
  const reference: Reference = { nll: [], best: [], logits: [] };
  await predict(text, { policy: 'dense' }, {}, (logits, next) => {
    const distribution = logSoftmax(logits);
    reference.nll.push(-(distribution[next] as number));
    reference.best.push(argmax(distribution));
    // The pass's own array holds the logits of all its tokens; a copy is kept for as long as the reference is.
    reference.logits.push(logits.slice());
  });
  return reference;
}

/** Predicts the compared tokens with a policy, in a fork: the session stays as it is. */
export async function measurePolicy(
  text: ComparedText,
  attention: PolicySpec,
  reference: Reference,
): Promise<PolicyMeasurement> {
  const layerAudit = createAudit(
    text.model.config,
    evenlySpaced(contextOf(text), text.tokens.length - 1, text.auditTokens),
  );
  const [nll, kl, agrees]: [number[], number[], boolean[]] = [[], [], []];
  await predict(text, attention, { onAttention: layerAudit.onAttention }, (logits, next, index) => {
    const distribution = logSoftmax(logits);
    nll.push(-(distribution[next] as number));
    kl.push(klDivergence(logSoftmax(reference.logits[index] as Float32Array), distribution));
    agrees.push(argmax(distribution) === reference.best[index]);
  });
  return { nll, kl, agrees, ...layerAudit.figures(), layers: layerAudit.layers() };
}

async function predict(
  text: ComparedText,
  attention: PolicySpec,
  watch: Pick<EvaluateOptions, 'onAttention'>,
  onToken: (logits: Float32Array, next: number, index: number) => void,
): Promise<void> {
  const { model, session, tokens, evalTokens, signal, onProgress } = text;
  const { vocabularySize } = model.config;
  const context = contextOf(text);
  const options = { attention, chunkTokens: COMPARED_TOKENS, ...watch, signal };
  let index = 0;
  onProgress(specName(attention), 0, evalTokens);
  await using fork = session.fork();
  for await (const { logits } of fork.evaluate(tokens.subarray(context, -1), options)) {
    for (let row = 0; row < logits.length; row += vocabularySize) {
      onToken(logits.subarray(row, row + vocabularySize), tokens[context + index + 1] as number, index);
      index++;
    }
    onProgress(specName(attention), index, evalTokens);
  }
}

/** Bytes that a decoding step after the context reads for each key of the context and key-value head. */
export async function stepBytes(text: ComparedText, attention: PolicySpec): Promise<number> {
  const { model, session, tokens, signal } = text;
  const context = contextOf(text);
  let bytesPerKey = Number.NaN;
  await using fork = session.fork();
  for await (const { attention: report } of fork.evaluate(tokens.subarray(context, context + 1), {
    attention,
    signal,
  })) {
    bytesPerKey = (report.bytesRead * model.config.heads) / model.config.keyValueHeads / report.keys;
  }
  return bytesPerKey;
}

/** Median milliseconds of a decoding step of one token: of the whole model, and of its attention. */
export interface StepTimes {
  msPerToken: number;
  attentionMsPerToken: number;
}

/**
 * Takes a decoding step after the context with each policy in turn, `rounds` times, and once before to warm up. Passes of
 * many tokens do not show the time of a step, since full attention then reads a key once for several.
 */
export async function timeSteps(
  text: ComparedText,
  policies: readonly PolicySpec[],
  rounds: number,
): Promise<StepTimes[]> {
  const { session, tokens, evalTokens, signal, onProgress } = text;
  const context = contextOf(text);
  const steps = policies.map((): StepTimes[] => []);
  for (let round = 0; round <= rounds; round++) {
    onProgress('timing', round, rounds);
    const from = context + (round % evalTokens);
    for (const [i, attention] of policies.entries()) {
      await using fork = session.fork();
      const started = performance.now();
      const options = { attention, signal };
      for await (const step of fork.evaluate(tokens.subarray(from, from + 1), options)) {
        const msPerToken = performance.now() - started;
        if (round > 0) steps[i]?.push({ msPerToken, attentionMsPerToken: step.attentionMs });
      }
    }
  }
  return steps.map((policySteps) => ({
    msPerToken: median(policySteps.map(({ msPerToken }) => msPerToken)),
    attentionMsPerToken: median(policySteps.map(({ attentionMsPerToken }) => attentionMsPerToken)),
  }));
}
