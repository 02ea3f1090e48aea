import { readFileSync } from 'node:fs';
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { metadataOf } from '../../test/byte-vocabulary.ts';
import { sharedFile } from '../../test/shared.ts';
import type { GgufValue } from '../gguf/metadata.ts';
import { sentencePieceTokenizerJson } from './sentence-piece.ts';
import { createTokenizer } from './tokenizer.ts';
import { readVocabulary } from './vocabulary.ts';

/** `<unk>`, `<s>`, `</s>`, the 256 bytes, then pieces whose score falls with their place. */
function entriesOf(pieces: readonly string[]): Record<string, GgufValue> {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, ...pieces];
  return {
    'tokenizer.ggml.model': 'llama',
    'tokenizer.ggml.tokens': tokens,
    'tokenizer.ggml.token_type': Int32Array.from(tokens, (_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1)),
    'tokenizer.ggml.scores': Float32Array.from(tokens, (_, id) => (id < 259 ? 0 : 259 - id)),
    'tokenizer.ggml.bos_token_id': 1,
    'tokenizer.ggml.eos_token_id': 2,
  };
}

/**
 * The algorithm of SentencePiece's byte pairs, plainly: as long as two neighbours make a token, the pair that makes
 * the best one, the first of equals, becomes it; what then is no token becomes its bytes.
 */
function reference(text: string, pieces: readonly string[]): number[] {
  const idOf = new Map(pieces.map((piece, i) => [piece, 259 + i]));
  const symbols = text === '' ? [] : Array.from(`▁${text.replaceAll(' ', '▁')}`);
  for (;;) {
    let best = -1;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const id = idOf.get(`${symbols[i]}${symbols[i + 1]}`);
      const bestId = best < 0 ? Number.POSITIVE_INFINITY : (idOf.get(`${symbols[best]}${symbols[best + 1]}`) as number);
      if (id !== undefined && id < bestId) best = i;
    }
    if (best < 0) break;
    symbols.splice(best, 2, `${symbols[best]}${symbols[best + 1]}`);
  }
  return symbols.flatMap((symbol) => {
    const id = idOf.get(symbol);
    return id === undefined ? Array.from(Buffer.from(symbol, 'utf8'), (byte) => 3 + byte) : [id];
  });
}

const pieces = ['▁', 'a', 'b', 'c', '▁a', 'ab', '▁ab', '▁▁', 'bc', 'abc', '▁abc', '▁▁▁▁', '\n', 'é'];
const unit = fc.constantFrom('a', 'b', 'c', ' ', '  ', '\n', 'é', '你', '🌍', '.');

describe('a SentencePiece tokenizer from metadata', () => {
  it('begins with token 1 where the file names none', () => {
    const { 'tokenizer.ggml.bos_token_id': _, 'tokenizer.ggml.eos_token_id': __, ...unnamed } = entriesOf(pieces);
    expect(createTokenizer(metadataOf(unnamed))).toMatchObject({ bosToken: 1, eosToken: 2, addBos: true });
  });

  it('finds tokens of the user that were written with marks in place of spaces', () => {
    const entries = entriesOf([...pieces, '▁▁▁', 'x▁y']);
    const types = Int32Array.from(entries['tokenizer.ggml.token_type'] as Int32Array);
    const userDefined = 4;
    const [threeSpaces, xy] = [types.length - 2, types.length - 1];
    types[threeSpaces] = userDefined;
    types[xy] = userDefined;
    const tokenizer = createTokenizer(
      metadataOf({ ...entries, 'tokenizer.ggml.token_type': types, 'tokenizer.ggml.add_space_prefix': false }),
    );
    const text = 'a   bx yc';
    expect([...tokenizer.encode(text)].filter((id) => id >= threeSpaces)).toEqual([threeSpaces, xy]);
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  it.each([
    ['whose tokens end at spaces', pieces],
    ['with tokens that go on past a space', [...pieces, 'c▁', 'c▁a', 'abc▁abc']],
  ])('gives the ids of the plain algorithm: a vocabulary %s', (_, vocabulary) => {
    const tokenizer = createTokenizer(metadataOf(entriesOf(vocabulary)));
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 30 }), (text) => {
        expect([...tokenizer.encode(text)]).toEqual(reference(text, vocabulary));
      }),
    );
  });

  const path = sharedFile('models/stories260k/tok512.bin');
  it.skipIf(path === undefined)('gives the ids of the plain algorithm: the vocabulary of stories260k', () => {
    const real = readTokens(path as string);
    const tokenizer = createTokenizer(metadataOf(entriesOf(real)));
    const word = fc.constantFrom(
      'Once',
      ' upon',
      ' a',
      ' time',
      ',',
      ' there',
      'was',
      'Lily',
      '  ',
      '\n',
      "'s",
      'é',
      '🌍',
    );
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: word }), fc.string({ unit: 'binary' })), (text) => {
        expect([...tokenizer.encode(text)]).toEqual(reference(text, real));
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }),
    );
  });

  it('gives back any text, without the space that it puts in front', () => {
    const tokenizer = createTokenizer(metadataOf(entriesOf(pieces)));
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        fc.pre(!text.includes('▁'));
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }),
    );
  });

  it('decodes as the library does', () => {
    const { metadata } = metadataOf(entriesOf(pieces));
    const library = new LibraryTokenizer(sentencePieceTokenizerJson(metadata, readVocabulary(metadata)), {});
    const tokenizer = createTokenizer({ metadata });
    const ids = fc.array(fc.integer({ min: 3, max: 258 + pieces.length }), { minLength: 1 });
    fc.assert(
      fc.property(fc.string({ unit }), ids, (text, tokens) => {
        for (const list of [tokenizer.encode(`x${text}`), tokens.filter((id) => id >= 259 || id < 3 + 128)]) {
          if (list.length === 0) continue;
          const options = { clean_up_tokenization_spaces: false };
          expect(tokenizer.decode(list)).toBe(library.decode([...list], options));
        }
      }),
    );
  });

  it('keeps the space in front where text goes on', () => {
    const tokenizer = createTokenizer(metadataOf(entriesOf(pieces)));
    const stream = tokenizer.streamDecoder();
    expect(Array.from(tokenizer.encode('abc ab'), (id) => stream.append(id))).toEqual([' abc', ' ab']);
  });

  it('puts no space in front where the file says so', () => {
    const entries = { ...entriesOf(pieces), 'tokenizer.ggml.add_space_prefix': false };
    const tokenizer = createTokenizer(metadataOf(entries));
    expect([...tokenizer.encode('abc ab')]).toEqual([pieces.indexOf('abc') + 259, pieces.indexOf('▁ab') + 259]);
    expect(tokenizer.decode(tokenizer.encode(' a'))).toBe(' a');
  });

  it('finds its special tokens and expects one in front', () => {
    const tokenizer = createTokenizer(metadataOf(entriesOf(pieces)));
    expect(tokenizer).toMatchObject({ bosToken: 1, eosToken: 2, addBos: true });
    expect([...tokenizer.endOfGeneration]).toEqual([2]);
    expect([...tokenizer.encode('<s>abc</s>')]).toEqual([1, pieces.indexOf('▁abc') + 259, 2]);
    expect(tokenizer.encode('</s>', { special: false }).length).toBeGreaterThan(1);
  });

  it.each<[string, Record<string, GgufValue>]>([
    ['fewer scores than tokens', { 'tokenizer.ggml.scores': Float32Array.of(1) }],
    ['scores that are no numbers', { 'tokenizer.ggml.scores': ['a'] }],
  ])('is refused with %s', (_, change) => {
    const fault = expect.objectContaining({ code: 'gguf-invalid' });
    expect(() => createTokenizer(metadataOf({ ...entriesOf(pieces), ...change }))).toThrow(fault);
  });
});

/** Pieces from the tokenizer file of llama2.c: each a score, a length and bytes; 259 others stand in front. */
function readTokens(path: string): string[] {
  const bytes = readFileSync(path);
  const tokens: string[] = [];
  let at = 4; // the length of the longest token
  while (at < bytes.length) {
    const length = bytes.readInt32LE(at + 4);
    tokens.push(bytes.toString('utf8', at + 8, at + 8 + length).replaceAll(' ', '▁'));
    at += 8 + length;
  }
  return tokens.slice(259);
}
