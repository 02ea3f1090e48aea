import { execFile } from 'node:child_process';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSavedResults } from './saved-results.ts';

const RUN = { model: 'm', text: 'f', tokens: 100 };
const KEY = { policy: 'sieve', budget: 'fixed:9' };
/** A path in a folder of its own. */
const newPath = async () => join(await mkdtemp(join(root, 'run-')), 'results.jsonl');

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'keysieve-results-'));
});
afterAll(() => rm(root, { recursive: true }));

describe('saved results', () => {
  it('come back as they were, to the same run and key only, the latest of each', async () => {
    const path = await newPath();
    const value = { kl: [0.1, 1 / 3, Number.NaN, Number.POSITIVE_INFINITY], name: 'ä', none: null };
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
    ['results-version', '{"format":"keysieve-results","version":1}\n'],
  ])('are an error of the code %s in a file of %s, which stays as it is', async ([code, content]) => {
    const path = await newPath();
    await writeFile(path, content as string);
    await expect(openSavedResults(path, RUN)).rejects.toMatchObject({ code });
    expect(await readFile(path, 'utf8')).toBe(content);
  });

  it('are kept whole by several processes that begin and write one file at once, in a folder that is not there', async () => {
    const path = join(dirname(await newPath()), 'a', 'b', 'results.jsonl');
    const program = `
      import { openSavedResults } from ${JSON.stringify(new URL('./saved-results.ts', import.meta.url).href)};
      const [, , path, name] = process.argv;
      const results = await openSavedResults(path, ${JSON.stringify(RUN)});
      for (let i = 0; i < 20; i++) await results.keep({ name, i }, 'x'.repeat(3000) + i);`;
    const script = join(dirname(dirname(dirname(path))), 'keep.mts');
    await writeFile(script, program);
    const node = ['--conditions', 'keysieve-source', '--import', import.meta.resolve('tsx'), script, path];
    await Promise.all(['a', 'b', 'c'].map((name) => promisify(execFile)(process.execPath, [...node, name])));
    const results = await openSavedResults(path, RUN);
    expect(results.truncatedCharacters).toBe(0);
    for (const name of ['a', 'b', 'c']) {
      for (let i = 0; i < 20; i++) expect(results.find({ name, i })).toBe('x'.repeat(3000) + i);
    }
  });

  it('go on behind what another process was writing when it was killed', async () => {
    const path = await newPath();
    const results = await openSavedResults(path, RUN);
    await results.keep(KEY, 1);
    await appendFile(path, '{"run":"ab');
    await results.keep({ second: true }, 2);
    const again = await openSavedResults(path, RUN);
    expect([again.find(KEY), again.find({ second: true })]).toEqual([1, 2]);
  });

  it('begin anew where only a part of the header was written', async () => {
    const path = await newPath();
    await writeFile(path, '{"format":"keysie');
    await (await openSavedResults(path, RUN)).keep(KEY, 1);
    expect((await openSavedResults(path, RUN)).find(KEY)).toBe(1);
  });

  it('are an error where the file cannot be written', async () => {
    const folder = dirname(await newPath());
    await expect(openSavedResults(folder, RUN)).rejects.toMatchObject({ code: 'output-unwritable' });
    const below = join(await newPath(), 'results.jsonl');
    await writeFile(dirname(below), '');
    await expect(openSavedResults(below, RUN)).rejects.toMatchObject({ code: 'output-unwritable' });
  });

  it('tell when a result was changed', async () => {
    const path = await newPath();
    await (await openSavedResults(path, RUN)).keep(KEY, { kl: 0.125 });
    await writeFile(path, (await readFile(path, 'utf8')).replace('0.125', '0.025'));
    await expect(openSavedResults(path, RUN)).rejects.toMatchObject({ code: 'invalid-file' });
  });
});
