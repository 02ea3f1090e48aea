/** Other engines to compare with: what a benchmark asks of one, and how it is found by its name. */
import { KeysieveError } from 'keysieve';
import { loadLlamaCpp } from './llama-cpp.ts';

export interface PeerOptions {
  /** Path of a GGUF file. */
  model: string;
  /** Threads for every evaluation, exactly as many. */
  threads: number;
  /** Tokens that the sequence must hold. */
  contextSize: number;
  /** Storage type of the cache's keys and values. */
  cache: PeerCache;
}

export type PeerCache = 'f16' | 'q8_0';

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
  /** Empties the sequence, evaluates `tokens` and gives the probability of every next token (vocabulary size). */
  nextTokenProbabilities(tokens: readonly number[]): Promise<Float64Array>;
  dispose(): Promise<void>;
}

/** llama.cpp with the default cache, and with one of 8 bits a number. */
export const PEERS: Readonly<Record<string, PeerCache>> = { 'llama.cpp': 'f16', 'llama.cpp:q8_0': 'q8_0' };

/** Loads the peer of a name. Throws `invalid-argument` where it has no such name, or is not installed. */
export function loadPeer(name: string, options: Omit<PeerOptions, 'cache'>): Promise<Peer> {
  const cache = PEERS[name];
  if (cache !== undefined) return loadLlamaCpp({ ...options, cache });
  throw new KeysieveError({
    code: 'invalid-argument',
    problem: 'There is no such peer.',
    found: name,
    remedy: `Give one of ${Object.keys(PEERS).join(', ')}.`,
  });
}
