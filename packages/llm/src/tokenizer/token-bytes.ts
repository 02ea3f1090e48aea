/**
 * The bytes that each token stands for, and texts made of them. Decoding goes by bytes because a character can lie
 * in several tokens: what is complete UTF-8 is known only from the bytes.
 */
import { llmError } from '../errors.ts';
import { spaceMark } from './sentence-piece.ts';
import type { TokenizerJson } from './tokenizer-json.ts';
import { flatSteps } from './tokenizer-json.ts';

export interface TokenBytes {
  /** Bytes of a token; none for an id that the vocabulary leaves free. Throws `invalid-argument` past the vocabulary. */
  bytesOf(id: number): Uint8Array;
  isSpecial(id: number): boolean;
  /** Whether a text begins with a space that encoding has put there. */
  readonly leadingSpace: boolean;
  /** Bytes that no token stands for by itself: text that holds one cannot be encoded whole. */
  readonly missingBytes: ReadonlySet<number>;
}

/** Throws `unsupported-tokenizer` for a decoder that is neither byte-level nor SentencePiece's. */
export function createTokenBytes(json: TokenizerJson, size: number): TokenBytes {
  const steps = flatSteps(json.decoder);
  const has = (type: string) => steps.some((step) => step.type === type);
  const leadingSpace =
    has('Strip') || steps.some((step) => step.type === 'Metaspace' && step.prepend_scheme !== 'never');
  if (!has('ByteLevel') && !has('ByteFallback') && !has('Metaspace')) {
    throw llmError({
      code: 'unsupported-tokenizer',
      problem: 'Tokens of this decoder cannot be turned into text.',
      found: steps.map((step) => step.type).join(', ') || 'no decoder',
      remedy: 'Use a model with a byte-level or SentencePiece byte-pair tokenizer.',
    });
  }
  const encode = has('ByteLevel') ? byteLevelBytes : sentencePieceBytes;
  const texts: (string | undefined)[] = new Array(size);
  for (const token of Object.keys(json.model.vocab)) texts[json.model.vocab[token] as number] = token;
  const special = new Set<number>();
  const added = new Map<number, Uint8Array>();
  for (const { id, content, special: isSpecial } of json.added_tokens) {
    added.set(id, utf8(content));
    if (isSpecial) special.add(id);
  }
  return {
    // Made when they are asked for: those of a whole vocabulary take a tenth of a second and much memory.
    bytesOf(id) {
      if (!Number.isInteger(id) || id < 0 || id >= size) throw notAToken(id, size);
      const text = texts[id];
      return added.get(id) ?? (text === undefined ? noBytes : encode(text));
    },
    isSpecial: (id) => special.has(id),
    leadingSpace,
    missingBytes: has('ByteLevel') ? missingFrom(json.model.vocab) : new Set(),
  };
}

/** Makes text of tokens one at a time. */
export interface StreamDecoder {
  /** The text that is complete with this token: characters that end in it, '' where none does. */
  append(id: number): string;
  /** What is left, an unfinished character as U+FFFD; the decoder then starts anew. */
  flush(): string;
}

/** A decoder for tokens that go on from others: a space in front of the first is kept. */
export function createStreamDecoder(tokens: TokenBytes, skipSpecial: boolean): StreamDecoder {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return {
    append(id) {
      const bytes = tokens.bytesOf(id);
      return skipSpecial && tokens.isSpecial(id) ? '' : decoder.decode(bytes, { stream: true });
    },
    flush: () => decoder.decode(),
  };
}

const noBytes = new Uint8Array(0);
const encoder = new TextEncoder();
const utf8 = (text: string) => encoder.encode(text);

/**
 * The character that stands for each byte in byte-level tokens (GPT-2's `bytes_to_unicode`): itself where it is
 * printable Latin-1, else the next from U+0100 on.
 */
const characterOfByte: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);
    return String.fromCodePoint(printable ? byte : next++);
  });
})();
const byteOfCharacter: ReadonlyMap<string, number> = new Map(
  characterOfByte.map((character, byte) => [character, byte]),
);

function byteLevelBytes(token: string): Uint8Array {
  const bytes = Array.from(token, (character) => byteOfCharacter.get(character));
  return bytes.every((byte) => byte !== undefined) ? Uint8Array.from(bytes) : utf8(token);
}

function sentencePieceBytes(token: string): Uint8Array {
  const byte = /^<0x([0-9A-F]{2})>$/.exec(token)?.[1];
  return byte === undefined ? utf8(token.replaceAll(spaceMark, ' ')) : Uint8Array.of(Number.parseInt(byte, 16));
}

function missingFrom(vocab: Record<string, number>): Set<number> {
  return new Set(characterOfByte.flatMap((character, byte) => (Object.hasOwn(vocab, character) ? [] : [byte])));
}

function notAToken(id: number, size: number) {
  return llmError({
    code: 'invalid-argument',
    problem: 'The id is not that of a token.',
    found: id,
    remedy: `Give whole numbers from 0 to ${size - 1}.`,
  });
}
