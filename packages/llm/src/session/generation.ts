/**
 * One answer as it is generated: an async iterable of pieces of text, and a promise of the whole with what it cost and
 * how exact its attention was.
 */
import { type AttentionReport, addReport, type CertificateKind, emptyReport, type PolicySpec } from 'keysieve';
import { logProbabilities, type TokenProbabilities } from '../sampling/index.ts';
import type { Tokenizer } from '../tokenizer/index.ts';
import type { Step } from './session.ts';
import { createStopFilter } from './stop-strings.ts';

/** A piece of the answer. */
export interface GenerationChunk {
  /** Text, whole characters; may be empty while bytes of one are missing or a stop string may be beginning. */
  text: string;
  /** The token that it came with. */
  token: number;
  /** Time of the model's pass that followed on the last token, and of sampling. */
  milliseconds: number;
  /** Attention of that pass. */
  attention: AttentionReport;
  /** Where `logProbabilities` were asked for: of the token, and of the likeliest ones. */
  probabilities?: TokenProbabilities;
}

/** Why an answer ended: the model ended it, a stop string came, it was long enough, or the context was full. */
export type FinishReason = 'end' | 'stop' | 'length' | 'context';

export interface AttentionSummary {
  policy: string;
  /** The budget as it was given, or null: dense attention has none. */
  budget: string | null;
  /** Keys that a head read exactly: mean number, and share of those there were. */
  keysExact: { mean: number; share: number };
  /** Keys that a head read by their codes alone: mean number. */
  keysQuantized: { mean: number };
  /**
   * Share of the heads that were attended densely, because that is faster or because a certificate asked for it, and of
   * those that read more keys than the policy chose, for the sake of a certificate.
   */
  fullAttentionShare: number;
  certificateFallbackShare: number;
  /** Bytes of the cache that were read for a token. */
  bytesPerToken: number;
  /** Over heads, layers and tokens: bounds, or estimates where the certificate says so. Null: nothing is known of one. */
  tailMass: { mean: number | null; max: number | null };
  outputError: { mean: number | null; max: number | null };
  certificate: CertificateKind;
}

export interface GenerationResult {
  text: string;
  /** Generated tokens. */
  tokens: number[];
  finishReason: FinishReason;
  promptTokens: number;
  /** Tokens of the prompt that were in the cache already. */
  reusedTokens: number;
  /** Time until the logits of the prompt's last token were there. */
  prefillMs: number;
  /** Time of each further pass. */
  decodeMs: number[];
  /** Attention of the passes that decoded; of the prefill where there was none. */
  attention: AttentionSummary;
  /** Attention of the prefill; bytes are those of a token of the prompt. */
  prefillAttention: AttentionSummary;
}

export interface Generation extends AsyncIterable<GenerationChunk> {
  /** The whole answer. Generates it where nothing iterates. */
  readonly result: Promise<GenerationResult>;
}

/** The parts that an answer is made with. */
export interface GenerationParts {
  policy: PolicySpec;
  prefillPolicy: PolicySpec;
  tokenizer: Tokenizer;
  maxTokens: number;
  stop: readonly string[];
  /** Draws the next token. */
  choose(logits: Float32Array): number;
  /** Number of the likeliest tokens whose log-probabilities are wanted; undefined where not even the chosen token's is. */
  topCount: number | undefined;
  contextLength: number;
  acquire(): () => void;
  prefill(): Promise<Step & { prompt: Int32Array; reused: number }>;
  decode(token: number): Promise<Step>;
  /** Number of tokens in the cache. */
  cachedTokens(): number;
}

export function createGeneration(parts: GenerationParts): Generation {
  let started = false;
  let settle: { resolve(result: GenerationResult): void; reject(error: unknown): void } | undefined;
  const promise = new Promise<GenerationResult>((resolve, reject) => {
    settle = { resolve, reject };
  });
  // Whoever iterates gets the error there; the promise alone must not end the process.
  promise.catch(() => {});

  async function* iterate(): AsyncGenerator<GenerationChunk, void> {
    if (started) throw new TypeError('A generation can be iterated once; keep its chunks, or await its result.');
    started = true;
    let finished = false;
    try {
      const result = yield* run(parts);
      finished = true;
      settle?.resolve(result);
    } catch (error) {
      finished = true;
      settle?.reject(error);
      throw error;
    } finally {
      if (!finished) settle?.reject(new Error('The generation was left before its end.'));
    }
  }

  return {
    [Symbol.asyncIterator]: iterate,
    get result() {
      if (!started) void drain(iterate());
      return promise;
    },
  };
}

async function drain(generator: AsyncGenerator<GenerationChunk, void>): Promise<void> {
  try {
    for await (const _ of generator);
  } catch {
    // The promise has it.
  }
}

async function* run(parts: GenerationParts): AsyncGenerator<GenerationChunk, GenerationResult> {
  const { tokenizer, maxTokens, topCount, policy, contextLength } = parts;
  const release = parts.acquire();
  try {
    const stops = createStopFilter(parts.stop);
    const decoder = tokenizer.streamDecoder({ skipSpecial: true });
    const decodeReport = emptyReport();
    const tokens: number[] = [];
    const decodeMs: number[] = [];
    let text = '';
    let finishReason: FinishReason = 'length';

    let started = performance.now();
    const prefilled = await parts.prefill();
    const prefillMs = performance.now() - started;
    let step: Step = prefilled;
    while (tokens.length < maxTokens) {
      const token = parts.choose(step.logits);
      if (tokenizer.endOfGeneration.has(token)) {
        finishReason = 'end';
        break;
      }
      tokens.push(token);
      const piece = stops.append(decoder.append(token));
      text += piece.text;
      yield {
        text: piece.text,
        token,
        milliseconds: performance.now() - started,
        attention: step.report,
        ...(topCount !== undefined && { probabilities: logProbabilities(step.logits, token, topCount) }),
      };
      if (piece.stopped) {
        finishReason = 'stop';
        break;
      }
      if (tokens.length === maxTokens) break;
      if (parts.cachedTokens() >= contextLength) {
        finishReason = 'context';
        break;
      }
      started = performance.now();
      step = await parts.decode(token);
      decodeMs.push(performance.now() - started);
      addReport(decodeReport, step.report);
    }
    if (finishReason !== 'stop') {
      const rest = stops.append(decoder.flush());
      const remainder = rest.text + (rest.stopped ? '' : stops.flush());
      text += remainder;
      if (remainder !== '') {
        yield { text: remainder, token: tokens.at(-1) as number, milliseconds: 0, attention: emptyReport() };
      }
    }
    const tokenCount = decodeMs.length;
    const prefilledTokens = Math.max(1, prefilled.prompt.length - prefilled.reused);
    const prefillAttention = summarizeAttention(parts.prefillPolicy, prefilled.report, prefilledTokens);
    return {
      text,
      tokens,
      finishReason,
      promptTokens: prefilled.prompt.length,
      reusedTokens: prefilled.reused,
      prefillMs,
      decodeMs,
      attention: tokenCount > 0 ? summarizeAttention(policy, decodeReport, tokenCount) : prefillAttention,
      prefillAttention,
    };
  } finally {
    release();
  }
}

/** What a report over `passes` tokens says of each. */
export function summarizeAttention(
  { policy, budget }: PolicySpec,
  report: AttentionReport,
  tokenCount: number,
): AttentionSummary {
  const rows = Math.max(1, report.rows);
  const finite = (x: number) => (Number.isFinite(x) ? x : null);
  return {
    policy,
    budget: policy === 'dense' ? null : (budget ?? null),
    keysExact: { mean: report.keysExact / rows, share: report.keysExact / Math.max(1, report.keys) },
    keysQuantized: { mean: report.keysQuantized / rows },
    fullAttentionShare: report.rowsFull / rows,
    certificateFallbackShare: report.rowsCertificateFallback / rows,
    bytesPerToken: report.bytesRead / tokenCount,
    tailMass: { mean: finite(report.tailMass.sum / rows), max: finite(report.tailMass.max) },
    outputError: { mean: finite(report.outputError.sum / rows), max: finite(report.outputError.max) },
    certificate: report.certificate,
  };
}
