import { readFileSync } from 'node:fs';
import { Tokenizer } from '@huggingface/tokenizers';
import { describe, expect, it } from 'vitest';
import { preTokenizers } from './pre-tokenizers.ts';
import type { Step } from './tokenizer-json.ts';
import { byteLevelStep, parseTokenizerJson, sequence, splitStep } from './tokenizer-json.ts';

/** Written by test/goldens/tokenizer.py with the `tokenizers` package; words with spaces between. */
const goldens = JSON.parse(readFileSync(new URL('../../test/goldens/tokenizer.json', import.meta.url), 'utf8')) as {
  texts: string[];
  words: Record<string, string[]>;
};

/** The words of a text by the library, in the form of the goldens. */
function wordsBy(step: Step): (text: string) => string {
  const model = { type: 'BPE', vocab: {}, merges: [] };
  const decoder = { type: 'ByteLevel' };
  const json = { added_tokens: [], normalizer: null, pre_tokenizer: step, post_processor: null, decoder, model };
  const { pre_tokenizer } = new Tokenizer(json, {});
  return (text) => (text === '' ? '' : (pre_tokenizer.pre_tokenize(text) as string[]).join(' '));
}

describe('preTokenizers', () => {
  it.each(Object.keys(goldens.words))('cut difficult texts as the tokenizers package does: %s', (name) => {
    const patterns = preTokenizers.get(name)?.patterns ?? [];
    const words = wordsBy(sequence([...patterns.map(splitStep), byteLevelStep]));
    for (const [i, text] of goldens.texts.entries()) {
      expect(words(text), JSON.stringify(text)).toBe(goldens.words[name]?.[i]);
    }
  });
});

describe('preTokenizers without goldens', () => {
  it.each([
    [
      'kimi-k2',
      "Hello HelloWorld 汉字abc don't 12345",
      ['Hello', ' Hello', 'World', ' ', '汉字', 'abc', " don't", ' ', '123', '45'],
    ],
    ['kimi-k2', 'x字Y  z!?\n', ['x', '字', 'Y', ' ', ' z', '!?\n']],
    ['afmoe', 'a 1234567 12 日本語x', ['a', ' ', '1', '234', '567', ' ', '12', ' ', '日本語', 'x']],
  ])('%s cuts %j', (name, text, expected) => {
    const patterns = preTokenizers.get(name)?.patterns ?? [];
    const words = wordsBy(sequence([...patterns.map(splitStep), byteLevelStep]));
    const letters = wordsBy(byteLevelStep);
    // Words as byte-level letters: each on its own is one.
    expect(words(text)).toBe(expected.map((word) => letters(word)).join(' '));
  });
});

describe('parseTokenizerJson', () => {
  it.each([
    ['gpt-2', [{ type: 'ByteLevel', add_prefix_space: false }]],
    [
      'smollm',
      [
        { type: 'Digits', individual_digits: true },
        { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
      ],
    ],
  ])('makes the steps of a tokenizer.json go by Unicode: %s', (name, pretokenizers) => {
    const step = { type: 'Sequence', pretokenizers };
    const text = JSON.stringify({ pre_tokenizer: step, model: { type: 'BPE', vocab: { a: 0 }, merges: [] } });
    const words = wordsBy(parseTokenizerJson(text).pre_tokenizer as Step);
    expect(goldens.texts.map(words)).toEqual(goldens.words[name]);
  });

  it('leaves a step that puts a space in front as it is', () => {
    const step = { type: 'ByteLevel', add_prefix_space: true };
    const text = JSON.stringify({ pre_tokenizer: step, model: { vocab: { a: 0 } } });
    expect(parseTokenizerJson(text).pre_tokenizer).toEqual({ type: 'Sequence', pretokenizers: [step] });
  });

  it.each([
    ['', 'not JSON'],
    ['{', 'not JSON'],
    ['[]', 'no JSON object'],
    ['null', 'no JSON object'],
    ['{}', 'no vocabulary'],
    ['{"model": {"vocab": []}}', 'no vocabulary'],
    ['{"model": {"vocab": {"a": -1}}}', 'whole number'],
    ['{"model": {"vocab": {"a": "b"}}}', 'whole number'],
    ['{"model": {"vocab": {}}, "added_tokens": {}}', 'added_tokens'],
    ['{"model": {"vocab": {}}, "added_tokens": [{"id": 1}]}', 'added_tokens'],
    ['{"model": {"vocab": {}}, "added_tokens": [{"id": 1, "content": ""}]}', 'added_tokens'],
    ['{"model": {"vocab": {}}, "decoder": {}}', 'without a type'],
    ['{"model": {"vocab": {}}, "pre_tokenizer": 5}', 'without a type'],
  ])('refuses %s', (text, found) => {
    const fault = { code: 'tokenizer-invalid', found: expect.stringContaining(found) };
    expect(() => parseTokenizerJson(text)).toThrow(expect.objectContaining(fault));
  });
});
