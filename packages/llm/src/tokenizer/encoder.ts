/**
 * The encoders of a tokenizer.json by @huggingface/tokenizers: one that finds the names of special tokens in text, and
 * one that reads them as any other text. They share one model, the large part.
 */
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { llmError } from '../errors.ts';
import type { TokenizerJson } from './tokenizer-json.ts';
import { createWordCache } from './word-cache.ts';

export interface Encoders {
  withSpecial(text: string): number[];
  withoutSpecial(text: string): number[];
}

/** The part of the library's class that is used here; its own types do not resolve under `nodenext`. */
interface LibraryEncoder {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  model: object;
}

/** Throws `unsupported-tokenizer` for a step that the library does not know. */
export function createEncoders(json: TokenizerJson): Encoders {
  try {
    const all: LibraryEncoder = new LibraryTokenizer(json, {});
    if ('cache' in all.model) all.model.cache = createWordCache();
    const added_tokens = json.added_tokens.filter((token) => !token.special);
    const plain: LibraryEncoder = new LibraryTokenizer({ ...json, added_tokens, model: emptyModel(json) }, {});
    plain.model = all.model;
    return { withSpecial: encodeWith(all), withoutSpecial: encodeWith(plain) };
  } catch (cause) {
    throw llmError({
      code: 'unsupported-tokenizer',
      problem: 'The tokenizer has a step that is not supported.',
      found: cause instanceof Error ? cause.message : String(cause),
      remedy: 'Leave the tokenizer.json out where the GGUF file has a tokenizer of its own, or use another model.',
      cause,
    });
  }
}

function emptyModel({ model }: TokenizerJson): TokenizerJson['model'] {
  return { ...model, vocab: {}, merges: [] };
}

function encodeWith(encoder: LibraryEncoder): (text: string) => number[] {
  return (text) => encoder.encode(text, { add_special_tokens: false }).ids;
}
