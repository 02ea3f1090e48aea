/**
 * One answer as it is generated: an async iterable of pieces of text, and a promise of the whole with what it cost and
 * how exact its attention was.
 */
import { type AttentionReport, addReport, type CertificateKind, emptyReport, type Policy } from 'keysieve';
import { llmError } from '../errors.ts';
import { logProbabilities, type TokenProbabilities } from '../sampling/index.ts';
import type { Tokenizer } from '../tokenizer/index.ts';
import type { Audit } from './audit.ts';
import type { Step } from './forward-pass.ts';
import type { Difference } from './prefix-reuse.ts';
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

/**
 * Why an answer ended: the model ended it, a stop string came, it was long enough, the context was full, or it was
 * aborted, by its signal or by whoever read it. What there was until then is in the result in any case.
 */
export type FinishReason = 'end' | 'stop' | 'length' | 'context' | 'aborted';

export interface AttentionSummary {
  policy: string;
  /** The budget, in the one form that `parseBudget` reads; null for a policy that reads every key. */
  budget: string | null;
  /** Keys that a head read exactly: mean number, and share of those there were. */
  keysExact: { mean: number; share: number };
  /** Keys that a head read quantized: mean number. */
  keysQuantized: { mean: number };
  /**
   * Share of the heads that had full attention, because that is faster or because a certificate asked for it, and of
   * those that read more keys than the policy chose, for the sake of a certificate.
   */
  fullAttentionShare: number;
  /** Share of the heads in layers with a window: they read all keys of it, and are among those with full attention. */
  windowedShare: number;
  certificateFallbackShare: number;
  /** Bytes of the cache that were read for a token. */
  bytesPerToken: number;
  /** Over heads, layers and tokens: bounds, or estimates, as `kind` says. Null: nothing is known of one. */
  tailMass: { mean: number | null; max: number | null };
  outputError: { mean: number | null; max: number | null };
  /** Share of the softmax that is certainly gone with keys that were dropped for good: mean of certified lower bounds, 0 where none are known. */
  goneAtLeast: number;
  /** What `tailMass` and `outputError` are, for all of these tokens: the weakest kind of any head. */
  kind: CertificateKind;
}

export interface GenerationResult {
  text: string;
  /** Generated tokens. */
  tokens: number[];
  finishReason: FinishReason;
  /** The stop string that ended it. */
  stopString?: string;
  promptTokens: number;
  /** Tokens of the prompt that were in the cache already. */
  reusedTokens: number;
  /**
   * Where the prompt departs from what was kept behind its beginning, so that no more of it was reused: the position, and
   * the tokens there as text. Undefined where it goes on from all that was kept.
   */
  firstDifference?: { position: number; cached: string; prompt: string };
  /** Time until the logits of the prompt's last token were there; until the abort where it was aborted before. */
  prefillMs: number;
  /** Time of each further token: of the pass that gave it, divided among its tokens where a draft gave several. */
  decodeMs: number[];
  /** Tokens that prompt lookup has proposed, and how many of them were right. */
  drafts: { proposed: number; accepted: number };
  /** Seed of the draws, also where it was chosen at random. */
  seed: number;
  /** What the text depends on beside model, prompt, options and seed; nothing in a session that is `deterministic`. */
  dependsOn: readonly Dependence[];
  /** How the prompt was read. */
  prompt: {
    /** Attention to what of it was not in the cache; bytes are those of one of its tokens. */
    attention: AttentionSummary;
  };
  /** How the answer was written. */
  answer: {
    /** Attention of its tokens but the first, which the reading of the prompt gives; null where there are no others. */
    attention: AttentionSummary | null;
    /** What was measured at some of its positions; null where that was not asked for. */
    audit: Audit | null;
  };
}

/** The number of threads; what of the prompt was in the cache; which other tokens were in the same passes. */
export type Dependence = 'threads' | 'reuse' | 'passes';

export interface Generation extends AsyncIterable<GenerationChunk> {
  /**
   * The chunks as they come, once: a second iteration throws `generation-used`. An abort ends it without an error, and
   * leaving it early ends the answer: `result` says `aborted` then.
   */
  [Symbol.asyncIterator](): AsyncGenerator<GenerationChunk, void>;
  /** The whole answer. Generates it where nothing iterates. */
  readonly result: Promise<GenerationResult>;
}

/** What is known of a prompt while it is read. */
export interface PromptProgress {
  tokens: number;
  reused: number;
  difference?: Difference | undefined;
  /** Attention of the passes so far. */
  report: AttentionReport;
}

/** Tokens that a pass gave, each with the logits that it was drawn from (vocabulary). */
export interface Decoded {
  drawn: { token: number; logits: Float32Array }[];
  /** Tokens of the draft. */
  proposed: number;
  report: AttentionReport;
}

/** The parts that an answer is made with. */
export interface GenerationParts {
  policy: Policy;
  prefillPolicy: Policy;
  tokenizer: Tokenizer;
  maxTokens: number;
  stop: readonly string[];
  /** Draws the next token. */
  choose(logits: Float32Array): number;
  /** Number of the likeliest tokens whose log-probabilities are wanted; undefined where not even the chosen token's is. */
  topCount: number | undefined;
  contextLength: number;
  signal: AbortSignal | undefined;
  acquire(): () => void;
  /** Reads the prompt; `progress` is kept up while it does. */
  prefill(progress: PromptProgress): Promise<Step>;
  /**
   * Decodes a token, and what of a draft behind it is right: draws at least one more token, and at most `maxTokens`. The
   * last one drawn is not in the cache.
   */
  decode(token: number, maxTokens: number): Promise<Decoded>;
  /** Takes the last tokens out of the cache again. */
  takeBack(count: number): void;
  /** Number of tokens in the cache. */
  cachedTokens(): number;
  seed: number;
  dependsOn: readonly Dependence[];
  /** What was measured so far, where an audit was asked for. */
  audit(): Audit | null;
}

/** What there is of an answer at any time. */
interface Answer {
  text: string;
  stopString: string | undefined;
  tokens: number[];
  prompt: PromptProgress;
  prefillMs: number;
  decodeMs: number[];
  decodeReport: AttentionReport;
  drafts: GenerationResult['drafts'];
}

/** Frees the session of a generation that was begun, and then forgotten without being left. */
const forgotten = new FinalizationRegistry<() => void>((release) => release());

export function createGeneration(parts: GenerationParts): Generation {
  const answer: Answer = {
    text: '',
    stopString: undefined,
    tokens: [],
    prompt: { tokens: 0, reused: 0, report: emptyReport() },
    prefillMs: 0,
    decodeMs: [],
    decodeReport: emptyReport(),
    drafts: { proposed: 0, accepted: 0 },
  };
  let isStarted = false;
  let settle: { resolve(result: GenerationResult): void; reject(error: unknown): void } | undefined;
  const promise = new Promise<GenerationResult>((resolve, reject) => {
    settle = { resolve, reject };
  });
  // Whoever iterates gets the error there; the promise alone must not end the process.
  promise.catch(() => {});

  function start(): AsyncGenerator<GenerationChunk, void> {
    if (isStarted) throw alreadyUsed();
    isStarted = true;
    const hold: { release?: () => void } = {};
    const end = (finishReason: FinishReason, error?: unknown) => {
      hold.release?.();
      if (error === undefined) settle?.resolve(resultOf(parts, answer, finishReason));
      else settle?.reject(error);
    };
    const iterator = iterate(parts, answer, hold, end);
    forgotten.register(iterator, () => end('aborted'));
    return iterator;
  }

  return {
    [Symbol.asyncIterator]: start,
    get result() {
      if (!isStarted) void drain(start());
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

/** Holds the session while it runs, and calls `end` however it ends. */
async function* iterate(
  parts: GenerationParts,
  answer: Answer,
  hold: { release?: () => void },
  end: (finishReason: FinishReason, error?: unknown) => void,
): AsyncGenerator<GenerationChunk, void> {
  let finishReason: FinishReason = 'aborted';
  let failure: unknown;
  try {
    hold.release = parts.acquire();
    finishReason = yield* run(parts, answer);
  } catch (error) {
    if (parts.signal?.aborted && (error as { code?: unknown }).code === 'aborted') return;
    failure = error;
    throw error;
  } finally {
    end(finishReason, failure);
  }
}

async function* run(parts: GenerationParts, answer: Answer): AsyncGenerator<GenerationChunk, FinishReason> {
  const { tokenizer, maxTokens, topCount, contextLength, signal } = parts;
  const { tokens } = answer;
  const stops = createStopFilter(parts.stop);
  const decoder = tokenizer.streamDecoder({ skipSpecial: true });

  function* finish(reason: FinishReason): Generator<GenerationChunk, FinishReason> {
    const rest = stops.append(decoder.flush());
    const remainder = rest.text + (rest.stopped ? '' : stops.flush());
    answer.text += remainder;
    if (remainder !== '') {
      yield { text: remainder, token: tokens.at(-1) as number, milliseconds: 0, attention: emptyReport() };
    }
    return reason;
  }

  const prefillStarted = performance.now();
  let step: Step;
  try {
    step = await parts.prefill(answer.prompt);
  } finally {
    answer.prefillMs = performance.now() - prefillStarted;
  }
  /** Tokens that were drawn and are not given out yet. */
  let pending: Decoded['drawn'] = [];
  let report = step.report;
  let milliseconds = answer.prefillMs;
  try {
    if (maxTokens > 0 && !signal?.aborted) pending = [{ token: parts.choose(step.logits), logits: step.logits }];
    while (tokens.length < maxTokens) {
      if (signal?.aborted) return yield* finish('aborted');
      const { token, logits } = pending.shift() as Decoded['drawn'][number];
      if (tokenizer.endOfGeneration.has(token)) return yield* finish('end');
      tokens.push(token);
      const text = decoder.append(token);
      const name = text === '' && parts.stop.length > 0 ? specialName(tokenizer, token) : '';
      const piece = name === '' ? stops.append(text) : stops.append(name, { hidden: true });
      answer.text += piece.text;
      answer.stopString = piece.stop;
      yield {
        text: piece.text,
        token,
        milliseconds,
        attention: report,
        ...(topCount !== undefined && { probabilities: logProbabilities(logits, token, topCount) }),
      };
      if (piece.stopped) return 'stop';
      if (tokens.length === maxTokens) break;
      if (pending.length === 0) {
        if (parts.cachedTokens() >= contextLength) return yield* finish('context');
        const started = performance.now();
        let decoded: Decoded;
        try {
          decoded = await parts.decode(token, maxTokens - tokens.length);
        } catch (error) {
          if (signal?.aborted) return yield* finish('aborted');
          throw error;
        }
        pending = decoded.drawn;
        report = decoded.report;
        milliseconds = (performance.now() - started) / pending.length;
        addReport(answer.decodeReport, report);
        answer.drafts.proposed += decoded.proposed;
        answer.drafts.accepted += pending.length - 1;
      }
      answer.decodeMs.push(milliseconds);
    }
    return yield* finish('length');
  } finally {
    // The last one drawn is in the cache only once it is decoded, and so is the one given out last.
    if (pending.length > 0 && tokens.length > 0) parts.takeBack(pending.length);
  }
}

/** The name of a control token, which is no part of an answer's text; '' for any other token. */
function specialName(tokenizer: Tokenizer, token: number): string {
  return tokenizer.decode([token], { skipSpecial: true }) === '' ? tokenizer.decode([token]) : '';
}

function resultOf(parts: GenerationParts, answer: Answer, finishReason: FinishReason): GenerationResult {
  const { prompt, decodeMs, text, tokens, prefillMs, stopString } = answer;
  const promptAttention = summarizeAttention(
    parts.prefillPolicy,
    prompt.report,
    Math.max(1, prompt.tokens - prompt.reused),
  );
  return {
    text,
    tokens,
    finishReason,
    ...(stopString !== undefined && { stopString }),
    promptTokens: prompt.tokens,
    reusedTokens: prompt.reused,
    ...(prompt.difference && { firstDifference: describeDifference(parts.tokenizer, prompt.difference) }),
    prefillMs,
    decodeMs,
    drafts: answer.drafts,
    seed: parts.seed,
    dependsOn: parts.dependsOn,
    prompt: { attention: promptAttention },
    answer: {
      attention: decodeMs.length > 0 ? summarizeAttention(parts.policy, answer.decodeReport, decodeMs.length) : null,
      audit: parts.audit(),
    },
  };
}

const describeDifference = (tokenizer: Tokenizer, { position, cached, prompt }: Difference) => ({
  position,
  cached: tokenizer.decode([cached]),
  prompt: tokenizer.decode([prompt]),
});

function alreadyUsed() {
  return llmError({
    code: 'generation-used',
    problem: 'An answer is generated once, and this one was begun already.',
    remedy: 'Keep its chunks, await its result, or call generate again.',
  });
}

/** What a report over `passes` tokens says of each. */
export function summarizeAttention(
  { name, budget }: Policy,
  report: AttentionReport,
  tokenCount: number,
): AttentionSummary {
  const rows = Math.max(1, report.rows);
  const finite = (x: number) => (Number.isFinite(x) ? x : null);
  return {
    policy: name,
    budget: budget?.name ?? null,
    keysExact: { mean: report.keysExact / rows, share: report.keysExact / Math.max(1, report.keys) },
    keysQuantized: { mean: report.keysQuantized / rows },
    fullAttentionShare: report.rowsFull / rows,
    windowedShare: report.rowsWindowed / rows,
    certificateFallbackShare: report.rowsCertificateFallback / rows,
    bytesPerToken: report.bytesRead / tokenCount,
    tailMass: { mean: finite(report.tailMass.sum / rows), max: finite(report.tailMass.max) },
    outputError: { mean: finite(report.outputError.sum / rows), max: finite(report.outputError.max) },
    goneAtLeast: report.goneAtLeast.sum / rows,
    kind: report.certificate,
  };
}
