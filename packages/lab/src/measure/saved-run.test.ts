import { mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TallyDesign } from '../law/tally.ts';
import { openRun, type RunKey, savedThreads } from './saved-run.ts';

const DESIGN: TallyDesign = {
  layers: 1,
  heads: 2,
  keyValueHeads: 1,
  lengths: [64, 128],
  shares: [0.1],
  budgets: [32],
  ladder: [4, 8],
  distanceBuckets: 3,
  sketchSize: 2,
  queryCounts: [2, 2],
  trialCounts: [1, 1],
};
const RUN = { hash: 'ab', threads: 2 };

describe('a saved measurement', () => {
  let folder: string;
  let path: string;
  let count = 0;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-run-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const newPath = () => join(folder, `${count++}.json`);
  const open = (run: RunKey, design: TallyDesign, textHashes: string[], onNote?: (text: string) => void) =>
    openRun({ path, run, design, textHashes, onNote });

  /** A file with 512 tokens of a text, with numbers in its tally. */
  async function save(...textHashes: string[]): Promise<void> {
    await using run = await open(RUN, DESIGN, textHashes);
    for (const { tally, progress } of run.texts) {
      for (const array of Object.values(tally.arrays())) array.fill(3);
      Object.assign(progress, { done: 512 });
    }
    await run.save();
  }

  /** What a later run finds of each text, and is told. */
  async function find(run: RunKey, design: TallyDesign, textHashes: string[]) {
    const notes: string[] = [];
    await using opened = await open(run, design, textHashes, (text) => notes.push(text));
    return { done: opened.texts.map(({ progress }) => progress.done), notes };
  }

  it('goes on with the same texts, and with more', async () => {
    path = newPath();
    await save('text');
    expect(await find(RUN, DESIGN, ['text', 'more'])).toEqual({ done: [512, 0], notes: [] });
  });

  it('tells the threads that it was made with, for a run that goes on', async () => {
    path = newPath();
    expect(await savedThreads(path)).toBeUndefined();
    await save('text');
    expect(await savedThreads(path)).toBe(2);
  });

  it.each<[string, RunKey, TallyDesign, string[]]>([
    ['threads 2', { ...RUN, threads: 1 }, DESIGN, ['text']],
    ['hash ab', { ...RUN, hash: 'cd' }, DESIGN, ['text']],
    ['another design', RUN, { ...DESIGN, budgets: [64] }, ['text']],
    ['other texts', RUN, DESIGN, ['another']],
  ])('begins anew where it was measured with %s, says so and keeps that', async (what, run, design, texts) => {
    path = newPath();
    await save('text');
    const content = await readFile(path, 'utf8');
    const { done, notes } = await find(run, design, texts);
    expect(done).toEqual([0]);
    expect(notes).toEqual([expect.stringContaining(`measured with ${what}: that is kept in ${path}.old`)]);
    expect(await readFile(`${path}.old`, 'utf8')).toBe(content);
  });

  it('is refused when any character of it was changed, or its end is missing', async () => {
    path = newPath();
    await save('text');
    const content = await readFile(path, 'utf8');
    const place = fc.integer({ min: 0, max: content.length - 2 });
    const isRefused = async (changed: string) => {
      await writeFile(path, changed);
      const error = await open(RUN, DESIGN, ['text']).then(
        async (run) => run[Symbol.asyncDispose](),
        ({ code }) => code,
      );
      expect(['invalid-file', 'results-version']).toContain(error);
      expect(await readFile(path, 'utf8')).toBe(changed);
    };
    await fc.assert(
      fc.asyncProperty(place, fc.constantFrom('0', 'x', '"'), async (at, character) => {
        fc.pre(content[at] !== character);
        await isRefused(content.slice(0, at) + character + content.slice(at + 1));
        await isRefused(content.slice(0, at));
      }),
      { numRuns: 50 },
    );
    await isRefused('{"some": "other file"}');
    await isRefused('');
  });

  it('is written by one process at a time, which leaves nothing when it ends', async () => {
    path = newPath();
    await save('text');
    await using first = await open(RUN, DESIGN, ['text']);
    await expect(open(RUN, DESIGN, ['text'])).rejects.toMatchObject({ code: 'file-busy' });
    await first[Symbol.asyncDispose]();
    await save('text');
    await expect(readFile(`${path}.lock`)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('is free when the process that wrote it was killed', async () => {
    path = newPath();
    await save('text');
    await writeFile(`${path}.lock`, '');
    await utimes(`${path}.lock`, 0, 0);
    expect((await find(RUN, DESIGN, ['text'])).done).toEqual([512]);
  });

  it('makes its folder, and is an error where that cannot be', async () => {
    path = join(newPath(), 'a', 'b.json');
    await save('text');
    expect((await find(RUN, DESIGN, ['text'])).done).toEqual([512]);
    path = join(path, 'c.json');
    await expect(save('text')).rejects.toMatchObject({ code: 'output-unwritable' });
  });
});
