/** What a benchmark asks of another engine. */

/** How a peer loads its model. */
export interface PeerOptions {
  /** Path of a GGUF file. */
  model: string;
  /** Threads of every evaluation. */
  threads: number;
  /** Tokens that the sequence must have room for. */
  contextSize: number;
  /** Storage type of the cache. */
  cache: PeerCache;
}

/** Storage types of a peer's cache. */
export type PeerCache = 'f32' | 'f16' | 'q8_0';

/** One model and one sequence, timed token by token. */
export interface Peer {
  /** Versions of what was run, by name. */
  readonly versions: Readonly<Record<string, string>>;
  /** Tokens of `text`; special tokens such as `<|im_start|>` are recognised, and none is put in front. */
  tokenize(text: string): number[];
  /** Empties the sequence and evaluates `tokens` up to the first logits. Gives milliseconds. */
  prefill(tokens: readonly number[]): Promise<number>;
  /** Evaluates tokens one after the other at the end of the sequence. Gives the milliseconds of each step. */
  decode(tokens: readonly number[]): Promise<number[]>;
  /** Drops everything after the first `length` tokens. */
  rewind(length: number): Promise<void>;
  /**
   * Empties the sequence, and gives the probabilities of the token that follows on `prompt`, then on each token of `next`
   * but the last: (next, vocabulary size).
   */
  predictions(prompt: readonly number[], next: readonly number[]): Promise<Float64Array[]>;
  dispose(): Promise<void>;
}
