/**
 * The vocabulary in a GGUF file's metadata: tokens with their types, and the tokens that begin and end texts
 * (`tokenizer.ggml.*`; specification: docs/gguf.md of ggml).
 */
import { invalid, quoted } from '../gguf/errors.ts';
import type { GgufMetadata } from '../gguf/metadata.ts';

/** `llama_token_type` */
export const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

export interface Vocabulary {
  readonly tokens: readonly string[];
  /** Type of each token (`tokenTypes`). */
  readonly types: ArrayLike<number>;
}

export interface SpecialIds {
  readonly bosToken: number | undefined;
  readonly eosToken: number | undefined;
  readonly endOfGeneration: ReadonlySet<number>;
}

/**
 * Names of tokens that end an answer. Files name one or two of them in their metadata; models emit the others, too
 * (the same list, for the same reason, as in llama.cpp).
 */
const END_OF_GENERATION_NAMES: ReadonlySet<string> = new Set([
  '<|im_end|>',
  '<|endoftext|>',
  '<|eot_id|>',
  '<|eom_id|>',
  '<|end_of_text|>',
  '<|end|>',
  '<end_of_turn>',
  '<end_of_utterance>',
  '<EOT>',
  '[EOT]',
  '[EOS]',
  '</s>',
  '<eos>',
  '<｜end▁of▁sentence｜>',
  '<|return|>',
  '<|call|>',
  '<|flush|>',
  '<|calls|>',
  '<|fim_pad|>',
  '<|repo_name|>',
  '<|file_sep|>',
]);

/** Tokens and types; throws `metadata-missing` or `gguf-invalid`. */
export function readVocabulary(metadata: GgufMetadata): Vocabulary {
  const tokens = metadata.strings('tokenizer.ggml.tokens');
  if (tokens.length === 0) throw invalid('The vocabulary is empty.', '0 tokens');
  const types = metadata.has('tokenizer.ggml.token_type')
    ? metadata.numbers('tokenizer.ggml.token_type')
    : new Int32Array(tokens.length).fill(tokenTypes.normal);
  if (types.length !== tokens.length) {
    throw invalid('The vocabulary has another number of types than of tokens.', `${types.length}, ${tokens.length}`);
  }
  refuseDuplicates(tokens);
  return { tokens, types };
}

function refuseDuplicates(tokens: readonly string[]): void {
  const seen = new Set<string>();
  for (const token of tokens) {
    // Padding at the end of a vocabulary may be empty strings: they stand for nothing.
    if (token !== '' && seen.has(token)) throw invalid('A token stands twice in the vocabulary.', quoted(token));
    seen.add(token);
  }
}

/** What SentencePiece's own defaults are, for files that do not say. */
const SENTENCE_PIECE_IDS = { bos: 1, eos: 2 };

/** Ids of the tokens that begin and end texts, among `size`; throws `gguf-invalid` for an id that is none. */
export function readSpecialIds(
  metadata: GgufMetadata,
  size: number,
  idOf: (token: string) => number | undefined,
): SpecialIds {
  const id = (name: string): number | undefined => {
    const key = `tokenizer.ggml.${name}_token_id`;
    const value = metadata.numberOr(key, undefined);
    if (value === undefined || (Number.isInteger(value) && value >= 0 && value < size)) return value;
    throw invalid(`The metadata key ${quoted(key)} is no token's id (0 to ${size - 1}).`, value);
  };
  const isSentencePiece = metadata.stringOr('tokenizer.ggml.model', '') === 'llama' && size > SENTENCE_PIECE_IDS.eos;
  const named = new Set([id('eos'), id('eot'), id('eom'), ...[...END_OF_GENERATION_NAMES].map(idOf)]);
  // In the harmony format a message of several ends with this token, the answer with another.
  if (idOf('<|return|>') !== undefined || idOf('<|calls|>') !== undefined) named.delete(idOf('<|end|>'));
  return {
    bosToken: id('bos') ?? (isSentencePiece ? SENTENCE_PIECE_IDS.bos : undefined),
    eosToken: id('eos') ?? (isSentencePiece ? SENTENCE_PIECE_IDS.eos : undefined),
    endOfGeneration: new Set([...named].filter((each) => each !== undefined)),
  };
}
