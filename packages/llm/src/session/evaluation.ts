/** What measuring a model's predictions takes and gives. */
import type { AttentionReport, PolicySpec } from 'keysieve';
import type { AttentionEvent } from './forward-pass.ts';

/** Options of `Session.evaluate`. */
export interface EvaluateOptions {
  /** How to attend. Default: as the session decodes. */
  attention?: PolicySpec | undefined;
  /** Tokens of one pass. Default: 128. */
  chunkTokens?: number | undefined;
  /** Whether the tokens of a pass may share what they read, as those of a prompt do. Default: each is on its own. */
  shareSamples?: boolean | undefined;
  /** Whether logits are wanted; without them `logits` is empty, and reading is faster. Default: true. */
  logits?: boolean | undefined;
  /**
   * Called after the attention of each layer, for measuring what heads do. The cache has the keys of the tokens, not
   * committed yet. What it throws ends the pass, and the cache is as it was before.
   */
  onAttention?: ((event: AttentionEvent) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** What a model makes of some consecutive tokens. */
export interface Evaluation {
  /** Position of the first of them. */
  position: number;
  /** Logits of the token that follows on each: (tokens, vocabulary). */
  logits: Float32Array;
  attention: AttentionReport;
  /** Milliseconds of the attention: of its threads, of waiting for them, and of writing the cache. */
  attentionMs: number;
}
