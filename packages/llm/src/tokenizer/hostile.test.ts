import { KeysieveError } from 'keysieve';
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

describe('a tokenizer.json with something wrong in it', () => {
  const { metadata } = metadataOf(bytePairEntries([]));
  const intact = JSON.stringify({
    ...JSON.parse(jsonWith('a|b')),
    added_tokens: [{ id: 3, content: '<end>', special: true }],
    normalizer: { type: 'Sequence', normalizers: [{ type: 'NFC' }] },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: 'a|b' }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
      ],
    },
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: {},
    },
    model: { type: 'BPE', vocab: { a: 0, b: 1, '!': 2 }, merges: ['a b'] },
  });

  /** Names that lead to each value. */
  const pathsOf = (value: unknown, path: string[] = []): string[][] =>
    typeof value !== 'object' || value === null
      ? [path]
      : [path, ...Object.entries(value).flatMap(([key, each]) => pathsOf(each, [...path, key]))];
  const paths = pathsOf(JSON.parse(intact)).filter(({ length }) => length > 0);

  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['a number', 5],
    ['a huge number', 2 ** 40],
    ['a fraction', 0.5],
    ['a text', 'x'],
    ['a list', [null]],
    ['an object', {}],
    [
      'a nest of sequences',
      Array.from({ length: 100 }).reduce((inner) => ({ type: 'Sequence', pretokenizers: [inner] })),
    ],
  ])('encodes or is refused with a code where there is %s', (_, wrong) => {
    const raw: string[] = [];
    for (const path of paths) {
      const json = JSON.parse(intact);
      const holder = path.slice(0, -1).reduce((value, key) => value[key], json);
      holder[path.at(-1) as string] = wrong;
      try {
        createTokenizer({ metadata }, { tokenizerJson: JSON.stringify(json) }).encode('ab a<end>');
      } catch (error) {
        if (!(error instanceof KeysieveError)) raw.push(`${path.join('.')}: ${error}`);
      }
    }
    expect(raw).toEqual([]);
  });
});
