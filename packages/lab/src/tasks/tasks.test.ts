import { createTokenizer, openGguf } from '@keysieve/llm';
import { describe, expect, it } from 'vitest';
import { sharedFile } from '../../../llm/test/shared.ts';
import { makePrompt, type TaskItem } from './answer-task.ts';
import { createFiller } from './filler.ts';
import { scoreOf, TASKS, taskOf } from './index.ts';

const FILLER = 'It was a dark night, and the wind blew over the hills as it had done for years. '.repeat(20);
const bytesOf = (text: string) => new TextEncoder().encode(text);
const SETTINGS = { filler: createFiller(FILLER, (text) => bytesOf(text).length), seed: 3, distractors: 2, chat: false };

/** A model as far as prompts go, by how it makes tokens of a text. */
const prompter = (encode: (text: string) => Iterable<number>) => {
  const renderChat = (messages: readonly { content: string }[]) => `<user>${messages[0]?.content}</user>`;
  return {
    encode: (prompt: unknown, { answerPrefix = '' } = {}) =>
      Int32Array.from(encode(typeof prompt === 'string' ? prompt : renderChat(prompt as never) + answerPrefix)),
    renderChat,
  };
};
const BYTES = prompter(bytesOf);
/** Tokens that are words together with the blank before them, the long ones several. */
const WORDS = prompter((text) => (text.match(/\s?[^\s]{1,5}|\s/g) ?? []).map((word) => word.length));

const itemOf = (task: string, length: number, repetition = 0): TaskItem => ({ task, length, depth: 0.4, repetition });

describe.each(TASKS)('the task $name', (task) => {
  it('makes prompts of exactly the tokens that were count for, with and without a chat', () => {
    for (const [model, lengths] of [
      [BYTES, [1700, 5001]],
      [WORDS, [1024, 4099]],
    ] as const) {
      for (const [repetition, length] of lengths.entries()) {
        for (const chat of [false, true]) {
          const prompt = makePrompt(task, itemOf(task.name, length, repetition), { ...SETTINGS, chat }, model);
          expect(prompt.tokens.length).toBe(length);
          expect([...prompt.tokens]).toEqual([...model.encode(prompt.text)]);
          expect(prompt.text.startsWith('<user>')).toBe(chat);
          for (const reference of prompt.references) expect(prompt.text).toContain(reference);
          expect(new Set(prompt.references).size).toBe(prompt.references.length);
          expect(prompt.answerTokens).toBeGreaterThanOrEqual(model.encode(prompt.references.join(', ')).length);
        }
      }
    }
  });

  it('is the same for the same seed, and another for another sample', () => {
    const make = (repetition: number) => makePrompt(task, itemOf(task.name, 2000, repetition), SETTINGS, BYTES);
    expect(make(1)).toEqual(make(1));
    expect(make(2).references).not.toEqual(make(1).references);
  });

  it('says that a length is too short for it', () => {
    expect(() => makePrompt(task, itemOf(task.name, 40), SETTINGS, BYTES)).toThrow(
      expect.objectContaining({ code: 'invalid-argument' }),
    );
  });
});

const MODEL = sharedFile('models/smollm2-135m/smollm2-135m-instruct-q4_1.gguf');

describe.skipIf(!MODEL)('with a tokenizer of byte pairs', () => {
  it('all tasks make prompts of exactly the tokens that were count for', async () => {
    const gguf = await openGguf(MODEL as string);
    const tokenizer = createTokenizer(gguf);
    await gguf.close();
    const model = prompter((text) => tokenizer.encode(text));
    for (const [i, task] of TASKS.entries()) {
      const length = 1024 + 331 * i;
      const { tokens } = makePrompt(task, itemOf(task.name, length), { ...SETTINGS, chat: i % 2 === 0 }, model);
      expect(tokens.length).toBe(length);
    }
  });
});

describe('what tasks ask', () => {
  const promptOf = (name: string, length = 3000, settings = SETTINGS) =>
    makePrompt(taskOf(name), itemOf(name, length), settings, BYTES);

  it('recall: the number of one name, that is stated once, at its depth', () => {
    const { text, references } = promptOf('recall');
    const name = /\nThe number of (\w+ \w+) is $/.exec(text)?.[1];
    const fact = `The number of ${name} is ${references[0]}. `;
    expect(text.split(fact)).toHaveLength(2);
    expect(text.match(/The number of \w+ \w+ is \d{5}\. /g)).toHaveLength(3);
    expect(Math.abs(text.indexOf(fact) / text.length - 0.4)).toBeLessThan(0.06);
  });

  it.each([
    ['needle', 1, 1],
    ['needle-keys', 1, 4],
    ['needle-values', 4, 4],
    ['needle-queries', 4, 4],
  ])('%s: %i of %i numbers', (name, count, all) => {
    const { text, references } = promptOf(name);
    const facts = [...text.matchAll(/secret number of (\w+ \w+) is (\d{7})\. /g)];
    expect(facts).toHaveLength(all);
    expect(references).toHaveLength(count);
    const about = text.slice(text.lastIndexOf('What '));
    for (const [, of, number] of facts) {
      expect(references.includes(number as string)).toBe(about.includes(of as string));
    }
  });

  it('variables: those that have a number at the end of the chain', () => {
    const { text, references } = promptOf('variables');
    const values = new Map<string, string>();
    for (const [, name, value] of text.matchAll(/LET ([A-Z]{4}) = (\w+)\. /g)) {
      values.set(name as string, values.get(value as string) ?? (value as string));
    }
    const number = /have the value (\d+)/.exec(text)?.[1];
    expect([...values].filter(([, value]) => value === number).map(([name]) => name)).toEqual(references);
    expect(references).toHaveLength(5);
  });

  it.each([
    ['common-words', 10, 2000],
    ['common-words', 10, 5000],
    ['frequent-words', 3, 2000],
    ['frequent-words', 3, 8000],
  ])('%s: the %i words that come most often, of %i tokens', (name, count, length) => {
    const { text, references } = promptOf(name, length);
    const list = text.split('\n\n')[1]?.split(' ') ?? [];
    const counts = new Map<string, number>();
    for (const word of list) counts.set(word, (counts.get(word) ?? 0) + 1);
    const ordered = [...counts].sort((a, b) => b[1] - a[1]);
    expect(references).toHaveLength(count);
    expect(new Set(ordered.slice(0, count).map(([word]) => word))).toEqual(new Set(references));
    expect(ordered[count - 1]?.[1]).toBeGreaterThan(ordered[count]?.[1] ?? 0);
  });
});

describe('the score of an answer', () => {
  it('is the share of the references that it names as words', () => {
    expect(scoreOf('It is 123, or 45.', ['123', '45'])).toBe(1);
    expect(scoreOf('Marito and TANO', ['tano', 'vidu'])).toBe(0.5);
    expect(scoreOf('51234', ['123'])).toBe(0);
    expect(scoreOf('1234 123', ['123'])).toBe(1);
    expect(scoreOf('', ['1'])).toBe(0);
  });

  it('takes no task that there is not', () => {
    expect(() => taskOf('sing')).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
  });
});
