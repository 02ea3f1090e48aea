/** Options of a session. */
import type { Encoding, PolicySpec, Precision } from 'keysieve';
import type { PrefixStore } from '../prefixes/index.ts';
import type { Scan } from '../snapshot/settings.ts';
import type { PassTrace } from './trace.ts';

/** Options of a session: how it attends, and how its cache is kept. */
export interface SessionOptions {
  /** How decoding attends. Default: `{ policy: 'sieve' }`. */
  attention?: PolicySpec | undefined;
  /**
   * How prompts are read: with a policy that draws samples, by blocks of tokens that share one. Default: what the policy
   * of decoding means for a prompt (`Policy.promptPolicy`).
   */
  prefill?: PolicySpec | undefined;
  /**
   * Encodings that the cache keeps beside the exact rows. Default: those that `attention` and `prefill` read. Name more of
   * them to evaluate other policies.
   */
  encodings?: readonly Encoding[] | undefined;
  /**
   * Whether heads use full attention where that is faster than the policy, as measured on this machine when the first such
   * session is made, and kept in the cache folder. Default: true.
   */
  denseFallback?: boolean | undefined;
  /**
   * Whether the same prompt, options and seed give the same text whatever is in the cache, and with any number of threads.
   * Prompts are then read from their beginning, or, where they are read with full attention, from a multiple of 512
   * tokens; a token's heads are not divided among threads, and nothing is chosen by measured times. Default: false.
   */
  deterministic?: boolean | undefined;
  /** Precision of the cache. Default: `f32` where the dense layers are `fp32`, else `f16`. */
  cachePrecision?: Precision | undefined;
  /**
   * What the sieve scans keys by: the signs of all rotated dimensions, or, `basis`, a basis of each head that keeps the
   * dimensions in which its queries are long and its keys vary, found on a short text when the first such session is made,
   * and kept in the cache folder. Heads without a gain are scanned by signs. Default: `signs`.
   */
  scan?: Scan | undefined;
  /** Bytes at which the cache is full. Default: no limit but the machine's. */
  memoryLimit?: number | undefined;
  /**
   * Where prompts look for what they begin with, whoever has read it, and keep what they have read: see
   * `Model.openPrefixes`. Sessions of policies that evict keys, and of models with layers that the paged cache does not hold,
   * neither find nor keep anything there. Default: a session knows what it has read itself.
   */
  prefixes?: PrefixStore | undefined;
  /**
   * Called after every pass through the model with where its time went. Timing makes attention somewhat slower. Default:
   * nothing is timed, unless the environment variable KEYSIEVE_TRACE is 1: then a table is printed on stderr when the
   * session ends.
   */
  onTrace?: ((trace: PassTrace) => void) | undefined;
}
