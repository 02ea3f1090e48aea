import { describe, expect, it } from 'vitest';
import { bytePairEntries, metadataOf } from '../../test/byte-vocabulary.ts';
import { createTokenizer } from './tokenizer.ts';

const sentencePieces = (pieces: readonly string[]) =>
  metadataOf({
    'tokenizer.ggml.model': 'llama',
    'tokenizer.ggml.tokens': pieces,
    'tokenizer.ggml.scores': new Float32Array(pieces.length),
    'tokenizer.ggml.token_type': new Int32Array(pieces.length).fill(1),
  });
const jsonWith = (Regex: string) =>
  JSON.stringify({
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false },
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', vocab: { a: 0, b: 1, '!': 2 }, merges: [] },
  });

describe('a vocabulary made to take for ever', () => {
  it('of long SentencePiece tokens is refused', () => {
    const pieces = Array.from({ length: 300 }, (_, i) => `${'a'.repeat(16_000)}${i}`);
    expect(() => createTokenizer(sentencePieces(pieces))).toThrow(
      expect.objectContaining({ code: 'gguf-invalid', found: expect.stringContaining('16003') }),
    );
  });

  it('may have a few tokens of thousands of characters', () => {
    const tokenizer = createTokenizer(sentencePieces(['a', 'b', 'a'.repeat(4096), '▁'.repeat(512)]));
    expect([...tokenizer.encode('ab')].slice(-2)).toEqual([0, 1]);
  });

  it.each([
    ['(a+)+$', `${'a'.repeat(40)}!`],
    ['(a|aa)+$', `${'a'.repeat(60)}!`],
    ['(a*)*b$', 'a'.repeat(40)],
  ])('of the regular expression %s is ended', (pattern, text) => {
    const { metadata } = metadataOf(bytePairEntries([]));
    const tokenizer = createTokenizer({ metadata }, { tokenizerJson: jsonWith(pattern) });
    expect(() => tokenizer.encode(text)).toThrow(expect.objectContaining({ code: 'tokenizer-invalid' }));
    expect([...tokenizer.encode('ab')]).toEqual([0, 1]);
  });
});
