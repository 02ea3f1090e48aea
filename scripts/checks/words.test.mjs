import { describe, expect, it } from 'vitest';
import { findRetired } from './words.mjs';

/** What is found in TypeScript: the messages up to their colons. */
const find = (text, path = 'a.ts') => findRetired(path, text).map(({ message }) => message.split(':')[0]);

describe('the check of words', () => {
  it('finds retired words in comments, messages and documents', () => {
    expect(find('// at most so many keys')).toEqual(['"so many"']);
    expect(find("throw new Error('There is no such policy.');")).toEqual(['"There is no such"']);
    expect(find('Keys are attended by their codes.', 'a.md')).toEqual(['"by their codes"']);
  });

  it('finds retired names, but not those words in text', () => {
    expect(find('const budget = report.keysRead;')).toEqual(['the name keysRead']);
    expect(find('export const MOST_KEYS = 4;')).toEqual(['the name MOST_KEYS']);
    expect(find('// few of them')).toEqual([]);
  });

  it('finds variables that do not say what they hold, but leaves destructured properties alone', () => {
    expect(find('const wanted = 3;')).toEqual(['the variable wanted']);
    expect(find('const report = ({ given }) => given;')).toEqual([]);
  });

  it('finds spreads of fresh literals, but not those of values', () => {
    expect(find('const a = { ...{ b, c } };')).toEqual(['a spread of a fresh literal']);
    expect(find('const a = [...[b, c]];')).toEqual(['a spread of a fresh literal']);
    expect(find('const a = { ...b, ...(c ? { d } : {}) };')).toEqual([]);
  });

  it('finds doc comments that cannot be read alone', () => {
    expect(find('/** Of each thread. */\nconst a = 1;')).toEqual(['a doc comment that begins with "Of each thread. "']);
    expect(find('/**\n * The same, opened.\n */\nconst a = 1;')).toEqual([
      'a doc comment that begins with "The same, opened."',
    ]);
    expect(find('/** Workspaces, by thread. */\nconst a = 1;')).toEqual([]);
  });

  it('finds temporary folders that nothing removes', () => {
    const made = "const folder = await mkdtemp(join(tmpdir(), 'a-'));";
    expect(find(made)).toEqual(['a temporary folder that nothing here removes']);
    expect(find(`${made} await rm(folder, { recursive: true });`)).toEqual([]);
  });

  it('says in which line', () => {
    expect(findRetired('a.md', 'one\ntwo\nso many\n')).toMatchObject([{ line: 3 }]);
  });
});
