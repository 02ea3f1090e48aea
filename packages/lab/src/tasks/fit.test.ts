import { describe, expect, it } from 'vitest';
import { createRandom } from '../numerics/random.ts';
import { fitPrompt } from './fit.ts';
import { drawNames, drawNumbers, drawVariables, drawWords, joinWithAnd, MAX_NAMES, shuffled } from './words.ts';

const characters = (text: string) => [...text].map((character) => character.codePointAt(0) as number);
/** A token for every three characters. */
const triples = (text: string) => new Array<number>(Math.ceil(text.length / 3)).fill(0);

describe('fitPrompt', () => {
  const compose = (units: number, padding: string) => `${padding}${'word '.repeat(units)}What?`;

  it.for([
    [5, 'What?'],
    [15, 'word word What?'],
  ] as const)('finds the units that make %d tokens', ([length, prompt]) => {
    expect(fitPrompt({ compose }, length, characters).text).toBe(prompt);
  });

  it('fills the last tokens with text in front', () => {
    const { text, tokens } = fitPrompt({ compose }, 17, characters);
    expect(tokens).toHaveLength(17);
    expect(text).toMatch(/^. word word What\?$|^.. ?word word What\?$/);
  });

  it('makes any length exact, whatever a token is', () => {
    for (let length = 3; length < 200; length++) {
      expect(fitPrompt({ compose }, length, triples).tokens).toHaveLength(length);
    }
  });

  it('refuses a question that is longer by itself', () => {
    expect(() => fitPrompt({ compose }, 4, characters)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
  });

  it('refuses a length that the tokenizer never gives', () => {
    const pairs = (text: string) => new Array<number>(2 * Math.ceil(text.length / 2)).fill(0);
    expect(() => fitPrompt({ compose }, 21, pairs)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
  });
});

describe('words', () => {
  it('are drawn without repetition, the same from the same seed', () => {
    const names = drawNames(MAX_NAMES, createRandom(1));
    expect(new Set(names.flatMap((name) => name.split(' '))).size).toBe(2 * MAX_NAMES);
    expect(drawNames(3, createRandom(1))).toEqual(names.slice(0, 3));
    for (const draw of [
      () => drawNumbers(40, 2, createRandom(2)),
      () => drawWords(50, createRandom(2)),
      () => drawVariables(50, createRandom(2)),
    ]) {
      expect(new Set(draw()).size).toBe(draw().length);
    }
  });

  it('have the forms that tasks ask for', () => {
    expect(drawNumbers(20, 5, createRandom(3)).every((number) => /^[1-9]\d{4}$/.test(number))).toBe(true);
    expect(drawWords(20, createRandom(3)).every((word) => /^([bdfgklmnprstvz][aeiou]){3}$/.test(word))).toBe(true);
    expect(drawVariables(20, createRandom(3)).every((name) => /^[A-Z]{4}$/.test(name))).toBe(true);
  });

  it('are shuffled into another order of the same', () => {
    const list = [1, 2, 3, 4, 5, 6, 7, 8];
    const other = shuffled(list, createRandom(4));
    expect(other).not.toEqual(list);
    expect([...other].sort()).toEqual(list);
  });

  it.for([
    [[], ''],
    [['a'], 'a'],
    [['a', 'b'], 'a and b'],
    [['a', 'b', 'c'], 'a, b and c'],
  ] as const)('%j are joined to "%s"', ([items, text]) => {
    expect(joinWithAnd(items)).toBe(text);
  });
});
