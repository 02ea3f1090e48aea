/**
 * The encoders of a tokenizer.json by @huggingface/tokenizers: one that finds the names of special tokens in text, and
 * one that reads them as any other text. They share one model, the large part.
 */
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { llmError } from '../errors.ts';
import { removeMarks } from './message-text.ts';
import type { TokenizerJson } from './tokenizer-json.ts';
import { createWordCache } from './word-cache.ts';

export interface Encoders {
  withSpecial(text: string): number[];
  withoutSpecial(text: string): number[];
  /** As `withSpecial`, for a text with marks, which are removed where special tokens have been found. */
  withMarks(text: string): number[];
}

/** Cuts text into words; the library's second argument says where the text stood. */
type PreTokenizer = (text: string, options?: unknown) => string[];

/** The part of the library's class that is used here; its own types do not resolve under `nodenext`. */
interface LibraryEncoder {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  model: object;
  pre_tokenizer: PreTokenizer | null;
}

/** Throws `unsupported-tokenizer` for a step that the library does not know. */
export function createEncoders(json: TokenizerJson): Encoders {
  try {
    const plain: LibraryEncoder = new LibraryTokenizer(textTokenizer(json), {});
    if ('cache' in plain.model) plain.model.cache = createWordCache();
    const all: LibraryEncoder = new LibraryTokenizer({ ...json, model: emptyModel(json) }, {});
    all.model = plain.model;
    const marked: LibraryEncoder = new LibraryTokenizer({ ...json, model: emptyModel(json) }, {});
    marked.model = plain.model;
    // The library looks for special tokens once more after normalizing, so that marks must last until words are cut.
    const cut = marked.pre_tokenizer;
    marked.pre_tokenizer = (text, options) => {
      const unmarked = removeMarks(text);
      return cut === null ? [unmarked] : cut(unmarked, options);
    };
    return { withSpecial: encodeWith(all), withoutSpecial: encodeWith(plain), withMarks: encodeWith(marked) };
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

/** Without the special tokens, which no merging of text may lead to; but for the one for unknown text. */
function textTokenizer(json: TokenizerJson): TokenizerJson {
  const special = new Set(json.added_tokens.filter((token) => token.special).map(({ content }) => content));
  special.delete(json.model.unk_token as string);
  const merges = Array.isArray(json.model.merges) ? json.model.merges : [];
  const lengths = new Set([...special].map(({ length }) => length));
  const isText = (merge: unknown) => {
    if (!Array.isArray(merge)) return !special.has(String(merge).replace(' ', ''));
    const [left, right] = merge as [string, string];
    // Most merges are too long or too short to be joined and looked up.
    return !lengths.has(left.length + right.length) || !special.has(left + right);
  };
  return {
    ...json,
    added_tokens: json.added_tokens.filter((token) => !token.special),
    model: { ...json.model, vocab: withoutTokens(json.model.vocab, special), merges: merges.filter(isText) },
  };
}

/** A vocabulary without some tokens: itself where it has none of them. */
function withoutTokens(vocab: Record<string, number>, tokens: ReadonlySet<string>): Record<string, number> {
  if (![...tokens].some((token) => Object.hasOwn(vocab, token))) return vocab;
  return Object.fromEntries(Object.entries(vocab).filter(([token]) => !tokens.has(token)));
}

function emptyModel({ model }: TokenizerJson): TokenizerJson['model'] {
  return { ...model, vocab: {}, merges: [] };
}

function encodeWith(encoder: LibraryEncoder): (text: string) => number[] {
  return (text) => encoder.encode(text, { add_special_tokens: false }).ids;
}
