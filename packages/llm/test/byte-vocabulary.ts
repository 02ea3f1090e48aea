/**
 * Metadata of byte-level tokenizers for tests: the 256 bytes, then whatever tokens a test adds.
 */
import { createMetadata, type GgufMetadata, type GgufValue } from '../src/gguf/metadata.ts';

/** The character that stands for each byte in byte-level tokens. */
export const byteCharacters: readonly string[] = (() => {
  const characters: string[] = [];
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const itself = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    characters.push(String.fromCharCode(itself ? byte : next++));
  }
  return characters;
})();

export const byteLevel = (text: string) =>
  Array.from(Buffer.from(text, 'utf8'), (byte) => byteCharacters[byte]).join('');

export function metadataOf(entries: Record<string, GgufValue>): { metadata: GgufMetadata } {
  return { metadata: createMetadata(new Map(Object.entries(entries))) };
}

export interface AddedToken {
  token: string;
  /** `llama_token_type`: 1 normal, 3 control, 4 user defined, 5 unused. Default: 3. */
  type?: number;
}

/** Merges as pairs of texts; what they give is a token, in that order after the bytes; then the added tokens. */
export function bytePairEntries(merges: readonly [string, string][], added: readonly AddedToken[] = []) {
  const merged = merges.map(([left, right]) => byteLevel(left + right));
  return {
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': 'gpt-2',
    'tokenizer.ggml.tokens': [...byteCharacters, ...merged, ...added.map(({ token }) => token)],
    'tokenizer.ggml.token_type': Int32Array.from([
      ...new Array<number>(256 + merged.length).fill(1),
      ...added.map(({ type = 3 }) => type),
    ]),
    'tokenizer.ggml.merges': merges.map(([left, right]) => `${byteLevel(left)} ${byteLevel(right)}`),
  };
}
