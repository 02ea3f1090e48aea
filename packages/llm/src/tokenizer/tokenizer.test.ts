import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { bytePairEntries, metadataOf } from '../../test/byte-vocabulary.ts';
import type { GgufValue } from '../gguf/metadata.ts';
import { openGguf } from '../gguf/open.ts';
import { preTokenizers } from './pre-tokenizers.ts';
import { createTokenizer } from './tokenizer.ts';

const unicode = fc.string({ unit: 'binary', maxLength: 200 });
/** Also what is no Unicode text: lone surrogates. */
const anyString = fc
  .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 50 })
  .map((units) => String.fromCharCode(...units));

const merges: [string, string][] = [
  ['h', 'e'],
  ['l', 'l'],
  ['he', 'll'],
  ['hell', 'o'],
  [' ', 'hello'],
  ['\n', '\n'],
];
const tokenizerOf = (change: Record<string, GgufValue> = {}) =>
  createTokenizer(
    metadataOf({
      ...bytePairEntries(merges, [{ token: '<|end|>' }, { token: '<|im_end|>' }, { token: '[tool]', type: 4 }]),
      'tokenizer.ggml.bos_token_id': 262,
      ...change,
    }),
  );
const texts = (ids: Iterable<number>, tokenizer = tokenizerOf()) => Array.from(ids, (id) => tokenizer.decode([id]));

describe('a byte-pair tokenizer from metadata', () => {
  it('merges bytes in the order of its merges', () => {
    const tokenizer = tokenizerOf();
    expect(texts(tokenizer.encode('hello hello helloo hell\n\n\n'))).toEqual([
      'hello',
      ' hello',
      ' hello',
      'o',
      ' ',
      'hell',
      '\n\n',
      '\n',
    ]);
  });

  it('finds special tokens in text where they are wanted, and others always', () => {
    const tokenizer = tokenizerOf();
    const text = 'hello<|end|>[tool]hello';
    expect([...tokenizer.encode(text)]).toEqual([259, 262, 264, 259]);
    expect(texts(tokenizer.encode(text, { special: false }))).toEqual(['hello', ...'<|end|>', '[tool]', 'hello']);
    expect(tokenizer.decode([259, 262, 264, 259])).toBe(text);
    expect(tokenizer.decode([259, 262, 264, 259], { skipSpecial: true })).toBe('hello[tool]hello');
  });

  it('gives the bytes of a token, and says which ones are special', () => {
    const tokenizer = tokenizerOf();
    expect([...tokenizer.tokenBytes(0xe4)]).toHaveLength(1);
    expect(new TextDecoder().decode(tokenizer.tokenBytes(259))).toBe('hello');
    expect([262, 264, 259].map(tokenizer.isSpecial)).toEqual([true, false, false]);
    expect(() => tokenizer.tokenBytes(1000)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
  });

  it('says which tokens begin and end texts', () => {
    const plain = createTokenizer(metadataOf(bytePairEntries([])));
    expect(plain).toMatchObject({ vocabularySize: 256, bosToken: undefined, eosToken: undefined, addBos: false });
    expect([...plain.endOfGeneration]).toEqual([]);
    const full = tokenizerOf({ 'tokenizer.ggml.eos_token_id': 10, 'tokenizer.ggml.eot_token_id': 11 });
    expect(full).toMatchObject({ vocabularySize: 265, bosToken: 262, eosToken: 10 });
    expect([...full.endOfGeneration].sort((a, b) => a - b)).toEqual([10, 11, 262, 263]);
  });

  it.each([
    ['gpt-2', undefined, false],
    ['gpt-2', true, true],
    ['llama-bpe', undefined, true],
    ['llama-bpe', false, false],
    ['qwen2', undefined, false],
  ])('expects a token in front as the file says, or as is usual for %s', (pre, said, addBos) => {
    const change = said === undefined ? {} : { 'tokenizer.ggml.add_bos_token': said };
    expect(tokenizerOf({ 'tokenizer.ggml.pre': pre, ...change }).addBos).toBe(addBos);
  });

  it('expects none where the file has none', () => {
    const { metadata } = metadataOf({ ...bytePairEntries([]), 'tokenizer.ggml.add_bos_token': true });
    expect(createTokenizer({ metadata }).addBos).toBe(false);
  });

  it('takes a word that is a token as a whole where the pre-tokenizer ignores merges', () => {
    const entries = bytePairEntries([], [{ token: 'hello', type: 1 }]);
    const ids = (pre: string) => createTokenizer(metadataOf({ ...entries, 'tokenizer.ggml.pre': pre })).encode('hello');
    expect(ids('gpt-2').length).toBe(5);
    expect([...ids('llama-bpe')]).toEqual([256]);
  });

  it('comes from a tokenizer.json where the file has none', () => {
    const model = { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'] };
    const added_tokens = [{ id: 3, content: '<|im_end|>', special: true }];
    const tokenizerJson = JSON.stringify({ model, added_tokens, decoder: { type: 'ByteLevel' } });
    const tokenizer = createTokenizer(metadataOf({}), { tokenizerJson });
    expect(tokenizer).toMatchObject({ vocabularySize: 4, bosToken: undefined, addBos: false });
    expect([...tokenizer.endOfGeneration]).toEqual([3]);
    expect([...tokenizer.encode('abba<|im_end|>')]).toEqual([2, 1, 0, 3]);
  });

  it('leaves padding of the vocabulary unused', () => {
    const tokenizer = createTokenizer(
      metadataOf(
        bytePairEntries(
          [],
          [
            { token: '', type: 5 },
            { token: '', type: 5 },
          ],
        ),
      ),
    );
    expect(tokenizer.vocabularySize).toBe(258);
    expect(tokenizer.decode([97, 256, 257, 98])).toBe('ab');
  });

  it('says which characters it has no bytes for, and leaves those bytes out', () => {
    const entries = bytePairEntries([]);
    const tokens = entries['tokenizer.ggml.tokens'].map((token, id) =>
      id === 0xff || id === 0xf0 || id === 1 ? `gone${id}` : token,
    );
    const tokenizer = createTokenizer(metadataOf({ ...entries, 'tokenizer.ggml.tokens': tokens }));
    expect(tokenizer.unencodable('plain é 你')).toBe('');
    expect(tokenizer.unencodable('a🌍b\u0001🌍')).toBe('🌍\u0001');
    expect([...tokenizer.encode('a\u0001b')]).toEqual([97, 98]);
  });
});

describe('a byte-level model', async () => {
  await using file = await openGguf(fileURLToPath(new URL('../../../../models/nano/nano.gguf', import.meta.url)));
  const tokenizer = createTokenizer(file);

  it('has a token for each byte', () => {
    fc.assert(
      fc.property(
        unicode.filter((text) => !text.includes('\0\0')),
        (text) => {
          expect(Buffer.from(tokenizer.encode(text, { special: false })).equals(Buffer.from(text, 'utf8'))).toBe(true);
        },
      ),
    );
    expect([...tokenizer.encode('\0\0\0')]).toEqual([259, 0]); // its one merge
  });

  it('gives back any text, and U+FFFD for lone surrogates', () => {
    fc.assert(
      fc.property(unicode, (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }),
    );
    fc.assert(
      fc.property(anyString, (text) => {
        const wellFormed = Buffer.from(text, 'utf8').toString('utf8');
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(wellFormed);
      }),
    );
  });

  it('gives back any bytes, those that are not UTF-8 as U+FFFD', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(tokenizer.decode(bytes)).toBe(new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes));
      }),
    );
  });

  it('streams what it decodes, in whole characters', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'é', '你', '🌍', '\ufeff', '<|eos|>', '\ud800') });
    fc.assert(
      fc.property(text, fc.boolean(), (text, skipSpecial) => {
        const ids = tokenizer.encode(text);
        const stream = tokenizer.streamDecoder({ skipSpecial });
        const pieces = Array.from(ids, (id) => stream.append(id));
        expect(pieces.join('') + stream.flush()).toBe(tokenizer.decode(ids, { skipSpecial }));
        for (const piece of pieces) expect(piece).not.toMatch(/[\ud800-\udbff]$/);
      }),
    );
  });

  it('streams a character with its last byte, and what is left at the end', () => {
    const stream = tokenizer.streamDecoder();
    expect(Array.from(Buffer.from('é🌍'), (byte) => stream.append(byte))).toEqual(['', 'é', '', '', '', '🌍']);
    expect([stream.append(0xf0), stream.append(0x9f), stream.flush(), stream.flush()]).toEqual(['', '', '\ufffd', '']);
    expect(stream.append(97)).toBe('a');
  });

  it('takes time in proportion to the length of a text', () => {
    const milliseconds = (length: number) => {
      const text = 'ab1 '.repeat(length / 4);
      const times = [1, 2, 3].map(() => {
        const start = performance.now();
        tokenizer.encode(text);
        return performance.now() - start;
      });
      return Math.min(...times);
    };
    milliseconds(30_000);
    // 10 times the length: 10 times the time, where a quadratic algorithm takes 100 times.
    expect(milliseconds(300_000) / milliseconds(30_000)).toBeLessThan(40);
  });

  it('refuses ids that are none', () => {
    for (const id of [-1, 260, 0.5, Number.NaN]) {
      const fault = expect.objectContaining({ code: 'invalid-argument', found: id });
      expect(() => tokenizer.decode([id])).toThrow(fault);
      expect(() => tokenizer.streamDecoder().append(id)).toThrow(fault);
    }
  });
});

describe('a byte-level vocabulary', () => {
  const tokenizerOf = (
    change: Record<string, GgufValue | undefined>,
    added: Parameters<typeof bytePairEntries>[1] = [],
  ) => {
    const entries: [string, GgufValue | undefined][] = Object.entries({ ...bytePairEntries(merges, added), ...change });
    const present = entries.filter((entry): entry is [string, GgufValue] => entry[1] !== undefined);
    return createTokenizer(metadataOf(Object.fromEntries(present)));
  };

  it('is cut by a default pre-tokenizer, with a warning, where the file names none', () => {
    const warnings: string[] = [];
    const emitWarning = vi.spyOn(process, 'emitWarning').mockImplementation((text) => void warnings.push(String(text)));
    try {
      const [unnamed, named] = [undefined, 'default'].map((pre) => tokenizerOf({ 'tokenizer.ggml.pre': pre }));
      expect(unnamed?.encode('a b, 12')).toEqual(named?.encode('a b, 12'));
      expect(warnings).toEqual([expect.stringContaining('pre-tokenizer'), expect.stringContaining('pre-tokenizer')]);
    } finally {
      emitWarning.mockRestore();
    }
  });

  it('is composed first where its family does that', () => {
    const decomposed = 'e\u0301';
    const ids = (pre: string, text: string) => tokenizerOf({ 'tokenizer.ggml.pre': pre }).encode(text);
    expect(ids('qwen2', decomposed)).toEqual(ids('qwen2', 'é'));
    expect(ids('llama-bpe', decomposed)).not.toEqual(ids('llama-bpe', 'é'));
  });

  it('ends an answer with the names of tokens that do', () => {
    const names = ['<|im_end|>', '<|end|>', '<|fim_pad|>', '<|start|>'].map((token) => ({ token }));
    const first = 256 + merges.length;
    expect([...tokenizerOf({}, names).endOfGeneration].sort()).toEqual([first, first + 1, first + 2]);
  });

  it('takes `<|end|>` for the end of a message where answers end otherwise', () => {
    const names = ['<|end|>', '<|return|>', '<|call|>'].map((token) => ({ token }));
    const first = 256 + merges.length;
    expect([...tokenizerOf({}, names).endOfGeneration].sort()).toEqual([first + 1, first + 2]);
  });

  it.each([...preTokenizers.keys()])('can be cut by %s', (pre) => {
    const text = "It's 12345 wörds,\n\n  ÉCOLE 中文字 안녕 don't!";
    const tokenizer = tokenizerOf({ 'tokenizer.ggml.pre': pre });
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });
});

describe('metadata that gives no tokenizer', () => {
  const entries = bytePairEntries(merges);
  const codes: [string, Record<string, GgufValue | undefined>, string][] = [
    ['no model', { 'tokenizer.ggml.model': undefined }, 'metadata-missing'],
    ['another model', { 'tokenizer.ggml.model': 't5' }, 'unsupported-tokenizer'],
    ['another pre-tokenizer', { 'tokenizer.ggml.pre': 'sarvam-moe' }, 'unsupported-tokenizer'],
    ['no tokens', { 'tokenizer.ggml.tokens': undefined }, 'metadata-missing'],
    ['an empty vocabulary', { 'tokenizer.ggml.tokens': [], 'tokenizer.ggml.token_type': [] }, 'gguf-invalid'],
    ['numbers for tokens', { 'tokenizer.ggml.tokens': [1, 2] }, 'gguf-invalid'],
    ['a token twice', { 'tokenizer.ggml.tokens': [...entries['tokenizer.ggml.tokens'].slice(1), '!'] }, 'gguf-invalid'],
    ['fewer types than tokens', { 'tokenizer.ggml.token_type': [1, 1] }, 'gguf-invalid'],
    ['no merges', { 'tokenizer.ggml.merges': undefined }, 'metadata-missing'],
    ['a merge of one token', { 'tokenizer.ggml.merges': ['ab'] }, 'gguf-invalid'],
    ['a merge with nothing', { 'tokenizer.ggml.merges': ['a '] }, 'gguf-invalid'],
    ['an end that is no token', { 'tokenizer.ggml.eos_token_id': 5000 }, 'gguf-invalid'],
    ['a beginning that is no token', { 'tokenizer.ggml.bos_token_id': -1 }, 'gguf-invalid'],
  ];

  it.each(codes)('is refused: %s', (_, change, code) => {
    const changed = Object.entries({ ...entries, ...change }).filter(([, value]) => value !== undefined);
    expect(() => createTokenizer(metadataOf(Object.fromEntries(changed) as Record<string, GgufValue>))).toThrow(
      expect.objectContaining({ name: 'KeysieveError', code }),
    );
  });

  it.each([
    ['that is none', '{}', 'tokenizer-invalid'],
    ['of a larger model', '{"model": {"type": "BPE", "vocab": {"a": 70000}, "merges": []}}', 'tokenizer-invalid'],
    [
      'with an unknown step',
      '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "normalizer": {"type": "None such"}, "decoder": {"type": "ByteLevel"}}',
      'unsupported-tokenizer',
    ],
    [
      'with an unknown decoder',
      '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "decoder": {"type": "CTC"}}',
      'unsupported-tokenizer',
    ],
    ['without a decoder', '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}', 'unsupported-tokenizer'],
  ])('is refused: a tokenizer.json %s', (_, tokenizerJson, code) => {
    expect(() => createTokenizer(metadataOf(entries), { tokenizerJson })).toThrow(
      expect.objectContaining({ name: 'KeysieveError', code }),
    );
  });
});
