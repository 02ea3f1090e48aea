import { describe, expect, it } from 'vitest';
import { bytePairEntries, metadataOf } from '../../test/byte-vocabulary.ts';
import { createChatTemplate, createTokenizer } from '../tokenizer/index.ts';
import { encodePrompt } from './prompt.ts';

const gguf = metadataOf({
  ...bytePairEntries([], [{ token: '<s>' }, { token: '<|end|>' }]),
  'tokenizer.ggml.bos_token_id': 256,
  'tokenizer.ggml.add_bos_token': true,
  'tokenizer.chat_template': '<s>{{ messages[0].content }}<|end|>',
});
const tokenizer = createTokenizer(gguf);
const context = { tokenizer, chatTemplate: () => createChatTemplate(gguf) };
const bytes = (text: string) => [...new TextEncoder().encode(text)];

describe('encodePrompt', () => {
  it('reads the names of control tokens in a text as text, unless told otherwise', () => {
    expect([...encodePrompt('<s>a<|end|>', context)]).toEqual([256, ...bytes('<s>a<|end|>')]);
    expect([...encodePrompt('<s>a<|end|>', context, { special: true })]).toEqual([256, 97, 257]);
  });

  it('reads them as text in messages and in the beginning of an answer', () => {
    const chat = [{ role: 'user', content: '<s><|end|>' }];
    const prompt = [256, ...bytes('<s><|end|>'), 257];
    expect([...encodePrompt(chat, context)]).toEqual(prompt);
    expect([...encodePrompt(chat, context, { special: true, answerPrefix: '<|end|>' })]).toEqual([
      ...prompt,
      ...bytes('<|end|>'),
    ]);
  });

  it('takes token ids as they are', () => {
    expect(encodePrompt(Int32Array.of(257, 97), context)).toEqual(Int32Array.of(257, 97));
  });
});
