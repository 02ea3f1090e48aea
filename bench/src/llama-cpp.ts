/**
 * llama.cpp as the other side of a comparison: one model, one sequence, timed token by token.
 *
 * It goes through node-llama-cpp's sequence API, so that both sides of a benchmark are given the same tokens and do
 * the same work: every step evaluates the tokens it is told to, computes the logits of the last one and takes the
 * largest. The CPU build that comes with the package is used, with flash attention and a float16 cache.
 */
import { GgmlType, getLlama, type LlamaContextSequence, LlamaLogLevel, type Token } from 'node-llama-cpp';

export interface PeerOptions {
  /** Path of a GGUF file. */
  model: string;
  /** Threads for every evaluation, exactly as many. */
  threads: number;
  /** Tokens that the sequence must hold; llama.cpp rounds it up to a multiple of 256. */
  contextSize: number;
}

export interface Peer {
  /** What was run, to print beside the figures. */
  readonly about: { release: string; system: string; threads: number; contextSize: number; batchSize: number };
  /** Tokens of `text`; special tokens such as `<|im_start|>` are recognised, and none is put in front. */
  tokenize(text: string): number[];
  /** Empties the sequence and evaluates `tokens` up to the first logits. Gives milliseconds. */
  prefill(tokens: readonly number[]): Promise<number>;
  /**
   * Evaluates the first `count` of `tokens` one after the other at the end of the sequence, as if each had been
   * generated. Gives the milliseconds of each step; one step is one token in, its logits out.
   */
  decode(tokens: readonly number[], count: number): Promise<number[]>;
  /** Drops everything after the first `length` tokens, so that another round starts from the same state. */
  rewind(length: number): Promise<void>;
  /** Empties the sequence, evaluates `tokens` and gives the probability of every next token (vocabulary size). */
  nextTokenProbabilities(tokens: readonly number[]): Promise<Float64Array>;
  dispose(): Promise<void>;
}

const greedy = { temperature: 0, yieldEogToken: true } as const;

/** Loads `model` into llama.cpp on the CPU. Throws where the context does not have what was asked for. */
export async function loadPeer({ model: modelPath, threads, contextSize }: PeerOptions): Promise<Peer> {
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    maxThreads: threads,
    logLevel: LlamaLogLevel.error,
  });
  const model = await llama.loadModel({ modelPath });
  const context = await model.createContext({
    sequences: 1,
    contextSize,
    flashAttention: true,
    threads: { ideal: threads, min: threads },
  });
  const sequence = context.getSequence();

  const cacheIsFloat16 = context.kvCacheKeyType === GgmlType.F16 && context.kvCacheValueType === GgmlType.F16;
  if (context.flashAttention !== true || !cacheIsFloat16 || context.idealThreads !== threads) {
    await llama.dispose();
    throw new Error(
      `llama.cpp would not run with flash attention, a float16 cache and ${threads} threads; it offered ` +
        `flashAttention=${context.flashAttention}, keys ${GgmlType[context.kvCacheKeyType]}, ` +
        `values ${GgmlType[context.kvCacheValueType]}, ${context.idealThreads} threads.`,
    );
  }

  return {
    about: {
      release: `llama.cpp ${llama.llamaCppRelease.release} (${llama.buildType} build)`,
      system: llama.systemInfo,
      threads: context.idealThreads,
      contextSize: context.contextSize,
      batchSize: context.batchSize,
    },
    tokenize: (text) => model.tokenize(text, true),
    async prefill(tokens) {
      checkRoom(sequence, 0, tokens.length);
      await sequence.clearHistory();
      const start = performance.now();
      const steps = sequence.evaluate(tokens as Token[], greedy);
      await steps.next();
      const elapsed = performance.now() - start;
      await steps.return();
      return elapsed;
    },
    async decode(tokens, count) {
      if (count > tokens.length)
        throw new RangeError(`${count} steps need as many tokens; there are ${tokens.length}.`);
      checkRoom(sequence, sequence.nextTokenIndex, count);
      const given = tokens.slice(0, count) as Token[];
      const steps = sequence.evaluate(given.slice(0, 1), greedy);
      const elapsed: number[] = [];
      for (const token of given) {
        const start = performance.now();
        // A token handed to `next` stands in for the one that was sampled; the first call has its token already.
        await (elapsed.length === 0 ? steps.next() : steps.next(token));
        elapsed.push(performance.now() - start);
      }
      await steps.return();
      return elapsed;
    },
    async rewind(length) {
      await sequence.eraseContextTokenRanges([{ start: length, end: sequence.nextTokenIndex }]);
    },
    async nextTokenProbabilities(tokens) {
      checkRoom(sequence, 0, tokens.length);
      await sequence.clearHistory();
      const steps = sequence.evaluateWithMetadata(tokens as Token[], { probabilities: true }, greedy);
      const step = await steps.next();
      await steps.return();
      if (step.done) throw new Error('llama.cpp gave no probabilities.');
      const probabilities = new Float64Array(step.value.probabilities.size);
      for (const [token, probability] of step.value.probabilities) probabilities[token] = probability;
      return probabilities;
    },
    dispose: () => llama.dispose(),
  };
}

/** Without room the library would silently drop the beginning of the sequence, and the two sides would differ. */
function checkRoom(sequence: LlamaContextSequence, used: number, more: number): void {
  if (more < 1) throw new RangeError('There must be at least one token.');
  // The token after the last one must fit too, although it is not evaluated.
  if (used + more >= sequence.contextSize) {
    throw new RangeError(`${used} + ${more} tokens do not fit a context of ${sequence.contextSize}.`);
  }
}
