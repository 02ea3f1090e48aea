import { appendFile, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openSavedResults } from './saved-results.ts';

const RUN = { model: 'm', text: 'f', tokens: 100 };
const KEY = { policy: 'sieve', budget: 'fixed:9' };
const newPath = async () => join(await mkdtemp(join(tmpdir(), 'results-')), 'results.jsonl');

describe('saved results', () => {
  it('come back as they were, to the same run and key only, the latest of each', async () => {
    const path = await newPath();
    const value = { kl: [0.1, 1 / 3], name: 'ä', none: null };
    const file = await openSavedResults(path, RUN);
    await file.keep(KEY, 'before');
    await file.keep(KEY, value);
    expect(file.find(KEY)).toEqual(value);
    const again = await openSavedResults(path, RUN);
    expect(again.find(KEY)).toEqual(value);
    expect(again.find({ ...KEY, budget: 'fixed:8' })).toBeUndefined();
    const other = await openSavedResults(path, { ...RUN, tokens: 101 });
    expect(other.find(KEY)).toBeUndefined();
    await other.keep(KEY, 7);
    expect((await openSavedResults(path, RUN)).find(KEY)).toEqual(value);
  });

  it('need no file', async () => {
    const results = await openSavedResults(undefined, RUN);
    await results.keep(KEY, 1);
    expect(results.find(KEY)).toBe(1);
  });

  it('go on behind a line that was cut off', async () => {
    const path = await newPath();
    await (await openSavedResults(path, RUN)).keep(KEY, 1);
    const before = await readFile(path, 'utf8');
    await appendFile(path, before.split('\n')[1]?.slice(0, 30) ?? '');
    const again = await openSavedResults(path, RUN);
    expect(again.truncatedCharacters).toBe(30);
    expect(again.find(KEY)).toBe(1);
    expect(await readFile(path, 'utf8')).toBe(before);
    await again.keep({ second: true }, 2);
    expect((await openSavedResults(path, RUN)).find({ second: true })).toBe(2);
  });

  it.for([
    ['invalid-file', 'no json'],
    ['invalid-file', '{}\n'],
    ['invalid-file', '{"format":"keysieve-law","version":1}\n'],
    ['results-version', '{"format":"keysieve-eval","version":1}\n'],
  ])('are an error of the code %s in a file of %s, which stays as it is', async ([code, content]) => {
    const path = await newPath();
    await writeFile(path, content as string);
    await expect(openSavedResults(path, RUN)).rejects.toMatchObject({ code });
    expect(await readFile(path, 'utf8')).toBe(content);
  });

  it('tell when a result was changed', async () => {
    const path = await newPath();
    await (await openSavedResults(path, RUN)).keep(KEY, { kl: 0.125 });
    await writeFile(path, (await readFile(path, 'utf8')).replace('0.125', '0.025'));
    await expect(openSavedResults(path, RUN)).rejects.toMatchObject({ code: 'invalid-file' });
  });
});
