/**
 * A session: one cache, and what is read into it. A prompt that begins as the cache does is read on from there, so the
 * turns of a chat cost only what is new in them.
 */
import {
  addReport,
  createPolicy,
  ENCODINGS,
  FULL_ATTENTION,
  PAGE_KEYS,
  type Policy,
  type PolicySpec,
  type StepCosts,
} from 'keysieve';
import { fullAttentionBelow } from 'keysieve/engine';
import { llmError } from '../errors.ts';
import type { GrammarConstraint, Grammars } from '../grammar/index.ts';
import type { TransformerSegments } from '../model/index.ts';
import type { PrefixStore } from '../prefixes/index.ts';
import { combineConstraints, createDraws, createSampler, type TokenConstraint } from '../sampling/index.ts';
import { type CacheSettings, commonPrefix } from '../snapshot/settings.ts';
import type { SnapshotTarget } from '../snapshot/target.ts';
import { type Auditor, createAuditor } from './audit.ts';
import { checkEvaluateOptions, checkGenerateOptions, checkSaveOptions, checkSessionOptions } from './check-options.ts';
import { type DecodeParts, decodeToken } from './decode.ts';
import type { Engines } from './engines.ts';
import type { EvaluateOptions, Evaluation } from './evaluation.ts';
import type { AttentionEvent, Sequence, SequenceRows, Step } from './forward-pass.ts';
import type { GenerateOptions } from './generate-options.ts';
import { createGeneration, type Decoded, type Generation, type PromptProgress } from './generation.ts';
import { createLayerCaches, type SessionMemory } from './layer-caches.ts';
import { createPrefixReuse, differenceOf, type PrefixReuse } from './prefix-reuse.ts';
import { encodePrompt, type Prompt, type PromptContext } from './prompt.ts';
import { createPromptLookup } from './prompt-lookup.ts';
import { tokensToRehearse } from './rehearsal.ts';
import { isInPages, type SaveOptions, saveSession, settingsOf } from './save.ts';
import type { ScanBases } from './scan-calibration.ts';
import type { PassKind, Scheduler } from './scheduler.ts';
import type { SessionOptions } from './session-options.ts';
import { stepCosts } from './step-costs.ts';
import { createPassTracer, isTraced } from './trace.ts';

/** What a session needs of its model. */
export interface SessionModel extends PromptContext {
  segments: TransformerSegments;
  contextLength: number;
  threads: number;
  cacheFolder: string | undefined;
  engines: Engines;
  scheduler: Scheduler;
  grammars: Grammars;
  name: string;
  /** SHA-256 of the file. */
  hash(signal?: AbortSignal): Promise<string>;
  /** The bases of the sieve's scan: found when they are first asked for. */
  scanBases: () => Promise<ScanBases>;
}

/** What a session is made of. */
export interface SessionParts {
  model: SessionModel;
  sequence: Sequence;
  /** How decoding attends. */
  policy: Policy;
  /** How prompts are read. */
  prefill: Policy;
  denseFallback: boolean;
  /** The bases by which keys are scanned; undefined: by signs. */
  scanBases: ScanBases | undefined;
  costs: StepCosts | undefined;
  onTrace: SessionOptions['onTrace'];
  prefixes: PrefixStore | undefined;
  /** See `SessionOptions.deterministic`. */
  deterministic: boolean;
  /** Tokens at the beginning of the cache that were read in whole chunks, as every session reads them. */
  wholeChunks: number;
}

/**
 * Tokens of a chunk of the prompt: enough to make the products large, few enough that progress shows and an abort is
 * soon heard.
 */
export const CHUNK_TOKENS = 512;
/** Tokens whose logits are held at once. */
const EVALUATION_CHUNK_TOKENS = 128;
const DEFAULT_MAX_TOKENS = 256;
/** How sessions decode by default. */
export const DEFAULT_ATTENTION: PolicySpec = { policy: 'sieve' };

/** The precision of a cache that goes with that of the dense layers. */
export const defaultCachePrecision = (matmulPrecision: TransformerSegments['precision']): 'f16' | 'f32' =>
  matmulPrecision === 'fp32' ? 'f32' : 'f16';

/** `fill` puts what was read before into the cache. */
export async function createSession(
  model: SessionModel,
  options: SessionOptions = {},
  fill?: (sequence: Sequence, settings: CacheSettings) => Promise<void>,
): Promise<Session> {
  checkSessionOptions(options);
  const { keyValueHeads, headDim, heads } = model.segments.config;
  const { encodings = [], deterministic = false, cachePrecision, scan = 'signs', memoryLimit } = options;
  // What is measured differs from machine to machine, and with the number of threads.
  const { denseFallback = !deterministic } = options;
  const policy = createPolicy(options.attention ?? DEFAULT_ATTENTION);
  const prefill = createPolicy(options.prefill ?? policy.promptPolicy());
  const precision = cachePrecision ?? defaultCachePrecision(model.segments.precision);
  const shape = { headDim, heads, keyValueHeads, precision, threads: model.threads };
  const costs = denseFallback && policy.mayFallBack ? await stepCosts(shape, model.cacheFolder) : undefined;
  const { onTrace, prefixes } = options;
  const tracer = createPassTracer(onTrace);
  const scanBases = scan === 'basis' ? await model.scanBases() : undefined;
  const caches = await createLayerCaches({
    config: model.segments.config,
    engines: model.engines,
    capacity: model.contextLength,
    threads: model.threads,
    precision,
    encodings: ENCODINGS.filter((each) => [...policy.encodings, ...prefill.encodings, ...encodings].includes(each)),
    costs,
    deterministic,
    timed: isTraced(onTrace),
    ...(tracer && { onTrace: tracer.onTrace }),
    ...(memoryLimit !== undefined && { memoryLimit }),
    ...(scanBases && { scanBases }),
  });
  try {
    const sequence = { caches, attention: caches.primary, tokens: [], tracer };
    const settings = { policy, prefill, denseFallback, scanBases, costs, onTrace, prefixes, deterministic };
    const parts = { model, sequence, ...settings, wholeChunks: 0 };
    await fill?.(sequence, await settingsOf(parts));
    return new Session(parts);
  } catch (error) {
    await caches.dispose();
    throw error;
  }
}

/** How tokens are run. */
type Pass = Pick<SequenceRows, 'policy'> &
  Partial<Pick<SequenceRows, 'logits' | 'shareSamples' | 'goesOn' | 'onAttention' | 'rehearsal'>> & {
    kind: PassKind;
    signal: AbortSignal | undefined;
  };

/** One cache and what has been read into it: generates answers, turn after turn. Made by `model.createSession`. */
export class Session {
  readonly #model: SessionModel;
  readonly #sequence: Sequence;
  readonly #policy: Policy;
  readonly #parts: SessionParts;
  readonly #reuse: PrefixReuse | undefined;
  /**
   * Keys below which decoding uses full attention, since that is faster on this machine. Undefined where there is no dense
   * fallback, or the policy is not faster within the context.
   */
  readonly fullAttentionBelow: number | undefined;
  /** Who generates or evaluates, if anybody does. */
  #holder: object | undefined;
  #disposed = false;
  #wholeChunks: number;

  /** Use `model.createSession`. */
  constructor(parts: SessionParts) {
    const { model, sequence, policy, costs, prefixes } = parts;
    this.#parts = parts;
    this.#wholeChunks = parts.wholeChunks;
    this.fullAttentionBelow = costs && fullAttentionBelow(policy, costs, model.contextLength, model.segments.config);
    this.#model = model;
    this.#sequence = sequence;
    this.#policy = policy;
    // What is in a store may have been read in other chunks.
    if (prefixes !== undefined && !parts.deterministic && isInPages(sequence, policy)) {
      this.#reuse = createPrefixReuse(prefixes, sequence, () => settingsOf(parts));
    }
  }

  /** The tokens in the cache. */
  get tokens(): readonly number[] {
    return this.#sequence.tokens;
  }

  /** Most tokens that the session can hold. */
  get contextLength(): number {
    return this.#model.contextLength;
  }

  /**
   * Bytes of the cache, by who else reads them. `proportional` is what to add up over sessions: what several share counts
   * once then.
   */
  get memory(): SessionMemory {
    return this.#sequence.caches.memory;
  }

  /**
   * Reads a prompt and generates what follows. Iterate over the result for the text as it comes, or await its `result`.
   *
   * A prompt is the whole text or chat, not only what is new: what the cache begins with is not read again.
   * Throws, when iterated, `prompt-empty`, `prompt-too-long`, `session-busy`, `grammar-invalid`, `grammar-unavailable` and
   * what the model throws. An abort is no
   * error: the result has what there was until then.
   */
  generate(prompt: Prompt, options: GenerateOptions = {}): Generation {
    checkGenerateOptions(options);
    const sampler = createSampler(options);
    const { maxTokens = DEFAULT_MAX_TOKENS, stop = [], logProbabilities: topCount, signal } = options;
    let grammar: GrammarConstraint | undefined;
    let constraint: TokenConstraint | undefined;
    const choose = (logits: Float32Array) => sampler.next(logits, this.tokens, constraint);
    const { deterministic } = this.#parts;
    const auditor = options.audit ? createAuditor(options.audit, createDraws(sampler.seed)) : undefined;
    // Evicting policies do not take keys back.
    const mayDraft = options.promptLookup !== false && this.#policy.evicting === undefined;
    const lookup = mayDraft ? createPromptLookup() : undefined;
    return createGeneration({
      policy: this.#policy,
      prefillPolicy: this.#parts.prefill,
      tokenizer: this.#model.tokenizer,
      maxTokens,
      stop,
      choose,
      topCount,
      contextLength: this.contextLength,
      signal,
      acquire: () => {
        const release = this.#acquire();
        return () => {
          grammar?.dispose();
          release();
        };
      },
      prefill: async (progress) => {
        if (options.grammar !== undefined) grammar = await (await this.#model.grammars.compile(options.grammar))();
        constraint = combineConstraints(grammar, options.constraint);
        return this.#prefill(prompt, options, progress);
      },
      decode: (token, room) =>
        this.#decode(token, constraint === undefined ? room : 1, { lookup, choose, auditor, signal }),
      takeBack: (count) => {
        if (!this.#disposed) this.#truncate(this.tokens.length - count);
      },
      seed: sampler.seed,
      dependsOn: deterministic ? [] : ['threads', 'reuse', 'passes'],
      audit: () => auditor?.result() ?? null,
      cachedTokens: () => this.tokens.length,
    });
  }

  /**
   * Reads tokens, behind those in the cache, and gives the logits after each: for measuring what a model predicts.
   * Throws as `generate` does.
   */
  async *evaluate(tokens: Int32Array, options: EvaluateOptions = {}): AsyncGenerator<Evaluation, void> {
    checkEvaluateOptions(tokens, options);
    const {
      attention = this.#policy,
      chunkTokens = EVALUATION_CHUNK_TOKENS,
      shareSamples = false,
      logits: requestedLogits = true,
      onAttention,
      signal,
    } = options;
    const release = this.#acquire();
    try {
      for (let from = 0; from < tokens.length; from += chunkTokens) {
        const position = this.tokens.length;
        const chunk = tokens.subarray(from, from + chunkTokens);
        this.#checkContextLength(position + chunk.length);
        const logits = requestedLogits ? 'all' : 'none';
        const step = await this.#forward(chunk, {
          kind: 'prompt',
          policy: attention,
          logits,
          shareSamples,
          onAttention,
          signal,
        });
        yield { position, logits: step.logits, attention: step.report, attentionMs: step.attentionMs };
      }
    } finally {
      release();
    }
  }

  /**
   * Forgets the tokens from `length` on. Throws `invalid-argument` where the session has fewer, or where layers with a
   * window have moved past what would be seen again, and `session-busy` while it generates or evaluates.
   */
  truncate(length: number): void {
    this.#acquire()();
    this.#truncate(length);
  }

  #truncate(length: number): void {
    const { caches, tokens } = this.#sequence;
    caches.truncate(length);
    tokens.length = length;
    this.#wholeChunks = Math.min(this.#wholeChunks, length);
  }

  /**
   * A session that has read the same tokens, and goes on by itself. The two share every page of the cache that is there; the
   * one that writes into the last one first copies it. Throws `session-busy` while this one generates or evaluates, `cache-out-of-memory` and `disposed`.
   */
  fork(): Session {
    this.#acquire()();
    const tracer = createPassTracer(this.#parts.onTrace);
    const { caches, tokens } = this.#sequence;
    const fork = caches.fork(tracer ? { onTrace: tracer.onTrace } : {});
    const sequence = { caches: fork, attention: fork.primary, tokens: [...tokens], tracer };
    return new Session({ ...this.#parts, sequence, wholeChunks: this.#wholeChunks });
  }

  /**
   * Saves what the session has read, for `Model.restore`: whole or not at all, by another file that is renamed. Throws
   * `session-busy`, `snapshot-unsupported` where policies evict keys or layers have a window,
   * `output-unwritable` and `aborted`.
   */
  async save(target: SnapshotTarget, options: SaveOptions = {}): Promise<void> {
    checkSaveOptions(options);
    const release = this.#acquire();
    try {
      this.#sequence.attention.cache.assertAlive();
      await saveSession(this.#parts, target, options);
    } finally {
      release();
    }
  }

  /** Frees the cache, and ends the threads where no other session uses them. Disposing again does nothing. */
  async dispose(): Promise<void> {
    const { caches, tokens, tracer } = this.#sequence;
    if (!this.#disposed) tracer?.end();
    this.#disposed = true;
    tokens.length = 0;
    await caches.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  /** Marks the session as busy; the returned function ends that. */
  #acquire(): () => void {
    if (this.#holder !== undefined) {
      throw llmError({
        code: 'session-busy',
        problem: 'The session is generating or evaluating already.',
        remedy: 'Await the first answer, abort it, or create another session of the same model.',
      });
    }
    const holder = {};
    this.#holder = holder;
    return () => {
      if (this.#holder !== holder) return;
      this.#holder = undefined;
      this.#model.scheduler.leave(this.#sequence);
    };
  }

  #checkContextLength(tokens: number): void {
    if (tokens <= this.contextLength) return;
    throw llmError({
      code: 'prompt-too-long',
      problem: `The context holds ${this.contextLength} tokens.`,
      found: `a prompt of ${tokens} tokens`,
      remedy: 'Shorten the prompt, or load the model with a larger context.',
    });
  }

  /** Reads what of the prompt is not in the cache yet. */
  async #prefill(
    prompt: Prompt,
    { signal, special, templateVariables: variables = {}, onPrefill }: GenerateOptions,
    progress: PromptProgress,
  ): Promise<Step> {
    const tokens = encodePrompt(prompt, this.#model, { special, variables });
    this.#checkContextLength(tokens.length);
    // The last token is read in any case, for its logits. Evicting policies depend on the whole prompt.
    const evicts = this.#policy.evicting !== undefined;
    const shared = evicts ? 0 : Math.min(commonPrefix(this.tokens, tokens), tokens.length - 1);
    const common = this.#parts.deterministic ? this.#reusable(shared) : shared;
    // Layers with a window cannot go back to what they have moved past.
    const kept = common < this.tokens.length && common < this.#sequence.caches.minLength ? 0 : common;
    const before = differenceOf(this.tokens, tokens);
    const reused = (await this.#reuse?.extend(tokens, kept, (length) => this.#truncate(length))) ?? kept;
    const onAttention = ({ attention, ...event }: AttentionEvent) =>
      attention.observe({ ...event, policies: [this.#policy] });
    const pass = { kind: 'prompt' as const, policy: this.#parts.prefill, shareSamples: true, onAttention, signal };
    if (reused < this.tokens.length) this.#truncate(reused);
    const stored = reused < tokens.length - 1 ? await this.#reuse?.difference(tokens, reused) : undefined;
    const difference = [before, stored].find((each) => each !== undefined && each.position >= reused);
    const { report } = Object.assign(progress, { tokens: tokens.length, reused, difference });
    onPrefill?.({ done: reused, total: tokens.length, reused });
    let step: Step | undefined;
    for (let from = reused; from < tokens.length; ) {
      // Chunks end where they would end without what was reused, so that they round as they would.
      const to = Math.min(tokens.length, (Math.floor(from / CHUNK_TOKENS) + 1) * CHUNK_TOKENS);
      const last = to === tokens.length;
      if (last && from > reused) await this.#rehearse(tokens[from] as number, signal);
      step = await this.#forward(tokens.subarray(from, to), { ...pass, logits: last ? 'last' : 'none' });
      this.#reuse?.keep(from);
      addReport(report, step.report);
      onPrefill?.({ done: to, total: tokens.length, reused });
      from = to;
    }
    this.#wholeChunks = Math.floor(tokens.length / CHUNK_TOKENS) * CHUNK_TOKENS;
    return { ...(step as Step), report };
  }

  /** Decodes a token some times, for what a process does more slowly at first, and keeps nothing of it. */
  async #rehearse(token: number, signal: AbortSignal | undefined): Promise<void> {
    const policy = this.#policy;
    // Evictions see every query, and traces would count the passes.
    if (policy.evicting !== undefined || this.#sequence.tracer !== undefined) return;
    const pass: Pass = { kind: 'prompt', policy, logits: 'all', rehearsal: true, signal };
    const count = tokensToRehearse(this.#model.segments, this.tokens.length);
    for (let i = 0; i < count; i++) await this.#forward(Int32Array.of(token), pass);
  }

  /** How many of the tokens that a prompt shares with the cache are in there as a new session would have read them. */
  #reusable(shared: number): number {
    // A policy that divides its budget by the errors of earlier tokens has forgotten those of all but the last ones.
    if (this.#parts.prefill.sparse !== undefined) return 0;
    return Math.min(this.#wholeChunks, Math.floor(shared / CHUNK_TOKENS) * CHUNK_TOKENS);
  }

  /** Decodes a token, and what of a draft behind it is right. */
  async #decode(
    token: number,
    maxTokens: number,
    {
      auditor,
      signal,
      ...drafting
    }: Pick<DecodeParts, 'lookup' | 'choose'> & {
      auditor: Auditor | undefined;
      signal: AbortSignal | undefined;
    },
  ): Promise<Decoded> {
    // Products of the rows of several sessions may round otherwise than those of one.
    const kind: PassKind = this.#parts.deterministic ? 'prompt' : 'decode';
    const { tokens, contextLength } = this;
    const { endOfGeneration } = this.#model.tokenizer;
    const position = tokens.length;
    const free = auditor?.untilNext(maxTokens) ?? maxTokens;
    const forward: DecodeParts['forward'] = (rows, goesOn) => {
      const pass: Pass = { kind, policy: this.#policy, logits: 'all', signal, goesOn };
      if (auditor === undefined || free > 0) return this.#forward(rows, pass);
      return auditor.decode(position, {
        runDense: () => this.#runDense(rows, signal),
        run: (onAttention) => this.#forward(rows, { ...pass, onAttention }),
      });
    };
    const parts = { ...drafting, tokens, contextLength, endOfGeneration, forward };
    const decoded = await decodeToken(token, Math.max(1, free), parts);
    if (free > 0) auditor?.skip(tokens.length - position);
    if (this.tokens.length % PAGE_KEYS === 0) this.#reuse?.keep(this.tokens.length - PAGE_KEYS);
    return decoded;
  }

  /** Logits of tokens behind the cache by full attention over it; the cache is left as it is. */
  async #runDense(tokens: Int32Array, signal: AbortSignal | undefined): Promise<Float32Array> {
    const caches = this.#sequence.caches.fork({});
    const sequence = { caches, attention: caches.primary, tokens: [...this.tokens], tracer: undefined };
    const rows = { sequence, tokens, policy: FULL_ATTENTION, logits: 'last' as const, shareSamples: false };
    try {
      return (await this.#model.scheduler.run(rows, 'prompt', signal)).logits;
    } finally {
      await caches.dispose();
    }
  }

  /** Runs tokens through the model and into the cache; without an error they are all there, with one none of them. */
  #forward(tokens: Int32Array, pass: Pass): Promise<Step> {
    const { kind, policy, logits = 'last', shareSamples = false, goesOn, onAttention, rehearsal, signal } = pass;
    const rows = { sequence: this.#sequence, tokens, policy, logits, shareSamples, goesOn, onAttention, rehearsal };
    return this.#model.scheduler.run(rows, kind, signal);
  }
}
