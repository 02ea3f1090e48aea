import { createTokenizer, openGguf } from '@keysieve/llm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sharedFile } from '../../../llm/test/shared.ts';
import { makePrompt } from './answer-task.ts';
import { createFiller } from './filler.ts';
import { taskOf } from './index.ts';

const countBytes = (text: string) => new TextEncoder().encode(text).length;
/** Blanks cost nothing here, and a character beyond ASCII as much as nine others. */
const countUnevenly = (text: string) => [...text].reduce((sum, c) => sum + (/\s/.test(c) ? 0 : c < '\x80' ? 1 : 9), 0);

const CHINESE = '山路很长，他走了一天才看见村子里的灯火。老人坐在门前抽烟，没有说话';
/** Texts of other forms than words with blanks between them. */
const TEXTS: Record<string, string> = {
  'words with blanks': 'It was a dark night, and the wind blew over the hills. '.repeat(30),
  Chinese: CHINESE.repeat(40),
  'Chinese without punctuation': CHINESE.replace(/\p{P}/gu, '').repeat(40),
  Thai: 'ถนนบนภูเขายาวมากเขาเดินทั้งวันจนเห็นแสงไฟของหมู่บ้าน'.repeat(40),
  'one word a line': 'alpha\nbravo\ncharlie\n'.repeat(80),
  'tabs between words': 'one\ttwo\tthree\t'.repeat(100),
  'one long word': 'x'.repeat(2000),
  emoji: '👩‍👩‍👧🏽'.repeat(200),
  'English, then Chinese': 'It was a dark night, and the wind blew. '.repeat(40) + CHINESE.repeat(50),
  'Chinese, then one word a line': CHINESE.repeat(50) + 'alpha\nbravo\n'.repeat(120),
};

const FACT = '[FACT] ';

describe('a text with facts in it', () => {
  it('has them between words, at their places', () => {
    const facts = [
      { text: '[A] ', place: 0 },
      { text: '[B] ', place: 0.5 },
      { text: '[C] ', place: 1 },
    ];
    expect(createFiller('aa bb cc dd ee', countBytes).hide(0, 14, facts)).toBe('[A] aa bb cc [B] dd ee [C] ');
  });

  it('begins anywhere, and is repeated where it is too short', () => {
    expect(createFiller('abc', countBytes).hide(1, 6, [])).toBe('bc\nabc');
  });

  it.each(Object.entries(TEXTS))('has them at the depth that was asked for, in tokens: %s', (_, text) => {
    const characters = fc.integer({ min: 600, max: 9000 });
    const offset = fc.integer({ min: 0, max: text.length - 1 });
    for (const countTokens of [countBytes, countUnevenly]) {
      const filler = createFiller(text, countTokens);
      fc.assert(
        fc.property(offset, characters, fc.double({ min: 0, max: 1, noNaN: true }), (from, length, place) => {
          const hidden = filler.hide(from, length, [{ text: FACT, place }]);
          const [before = '', after = ''] = hidden.split(FACT);
          const [tokensBefore, all] = [countTokens(before), countTokens(before) + countTokens(after)];
          // A word, and what a block is off by where scripts meet.
          expect(Math.abs(tokensBefore - place * all)).toBeLessThan(countTokens(text.slice(0, 128)) + 9 * 32);
          expect(hidden).not.toMatch(/\p{Cs}/u);
        }),
        { numRuns: 60 },
      );
    }
  });

  it.each(Object.entries(TEXTS))('has five of them at five places: %s', (_, text) => {
    const places = [0, 0.25, 0.5, 0.75, 1];
    const hidden = createFiller(text, countBytes).hide(
      0,
      6000,
      places.map((place) => ({ text: FACT, place })),
    );
    const parts = hidden.split(FACT).map(countBytes);
    expect(parts).toHaveLength(6);
    for (const part of parts.slice(1, 5)) expect(Math.abs(part / (countBytes(hidden) / 4) - 1)).toBeLessThan(0.15);
  });
});

const MODEL = sharedFile('models/smollm2-135m/smollm2-135m-instruct-q4_1.gguf');

describe.skipIf(!MODEL)('with a tokenizer of byte pairs', () => {
  it.each(Object.entries(TEXTS))('a prompt has its fact at its depth: %s', async (_, text) => {
    await using gguf = await openGguf(MODEL as string);
    const tokenizer = createTokenizer(gguf);
    const encode = (prompt: unknown) => tokenizer.encode(prompt as string, { special: false });
    const filler = createFiller(text, (piece) => encode(piece).length);
    const depth = 0.3;
    const prompt = makePrompt(
      taskOf('recall'),
      { task: 'recall', length: 2000, depth, repetition: 0 },
      { filler, seed: 1, distractors: 0, chat: false },
      { encode, renderChat: () => '' },
    );
    const before = prompt.text.slice(0, prompt.text.indexOf('The number of'));
    expect(Math.abs(encode(before).length / 2000 - depth)).toBeLessThan(0.06);
  });
});
