import { describe, expect, it } from 'vitest';
import { textHash } from '../results/text-hash.ts';
import { takeTokens } from './tokens.ts';

describe('takeTokens', () => {
  const tokens = [1, 2, 3, 4, 5];

  it('takes a range', () => {
    expect([...takeTokens(tokens, { name: 'book', offset: 1, count: 3 })]).toEqual([2, 3, 4]);
    expect([...takeTokens(Int32Array.from(tokens), { name: 'book', offset: 0, count: 5 })]).toEqual(tokens);
  });

  it('says which text is too short, and by how much', () => {
    expect(() => takeTokens(tokens, { name: 'book', offset: 3, count: 3 })).toThrow(
      expect.objectContaining({
        code: 'invalid-argument',
        message: expect.stringContaining('book is too short. Found: 5 tokens, of which 6 are needed'),
      }),
    );
  });
});

describe('textHash', () => {
  it('is the SHA-256 of the UTF-8 bytes', () => {
    expect(textHash('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(textHash('ä')).not.toBe(textHash('a'));
  });
});
