/** Options of an answer. */
import type { GrammarSpec } from '../grammar/index.ts';
import type { SamplingOptions, TokenConstraint } from '../sampling/index.ts';

export interface GenerateOptions extends SamplingOptions {
  /** Most tokens to generate. Default: 256. */
  maxTokens?: number | undefined;
  /**
   * Whether names of control tokens in a prompt that is a text, such as `<|im_start|>`, become those tokens. Default:
   * false, so that a text is nothing but text.
   */
  special?: boolean | undefined;
  /** Variables of the chat template: see `RenderOptions.variables`. Default: none. */
  templateVariables?: Readonly<Record<string, unknown>> | undefined;
  /** Texts that end the answer; they are not part of it. Default: none. */
  stop?: readonly string[] | undefined;
  /** Restricts the tokens of the answer in a way of the caller's own. Default: none. */
  constraint?: TokenConstraint | undefined;
  /** What the answer is held to: JSON, a JSON Schema or a regular expression. Default: nothing. */
  grammar?: GrammarSpec | undefined;
  /**
   * Whether what followed on the last tokens before is tried as what follows now: several tokens a pass where the answer
   * repeats its prompt, and the same text. It is done only while it pays; never with a constraint or a grammar. Default: true.
   */
  promptLookup?: boolean | undefined;
  /**
   * Positions of the answer at which the model is run once more with full attention over the same cache: what was predicted
   * there is then compared with that. They are drawn at random by the seed. Each costs a pass with full attention, and
   * some positions are replaced by later ones; no draft (`promptLookup`) reaches one of them. Default: none.
   */
  audit?: number | undefined;
  /** Number of the likeliest tokens whose log-probabilities come with each token, beside its own. Default: none at all. */
  logProbabilities?: number | undefined;
  /** Aborts prefill and decoding; the session stays usable, with what it has read so far. */
  signal?: AbortSignal | undefined;
  /** Called while the prompt is read, after every chunk. */
  onPrefill?: ((progress: PrefillProgress) => void) | undefined;
}

/** How much of a prompt has been read. */
export interface PrefillProgress {
  /** Tokens of the prompt that are in the cache. */
  done: number;
  /** Tokens of the prompt. */
  total: number;
  /** Tokens of the prompt that were there already. */
  reused: number;
}
