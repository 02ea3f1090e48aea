import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadModel, type Model } from '@keysieve/llm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LawTally } from '../law/tally.ts';
import { defaultFiller } from '../tasks/default-filler.ts';
import { createDesign, type Design, lengthsUpTo } from './design.ts';
import { encodingsToMeasure, measureText, type TextProgress } from './measure-text.ts';
import { openRun } from './saved-run.ts';

const TOKENS = 1200;
const START: TextProgress = { done: 0, prefillMs: 0, measureMs: 0 };
const RUN = { hash: 'ab', seed: 1 };

describe('a measurement', () => {
  let folder: string;
  let model: Model;
  let design: Design;
  let tokens: Int32Array;
  const file = (name: string) => join(folder, name);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-measure-'));
    model = await loadModel('nano', { precision: 'fp32', threads: 2 });
    const { config } = model;
    design = createDesign({ config, tokens: TOKENS, lengths: undefined, samples: 6, seed: 1, texts: 1 });
    tokens = Int32Array.from(model.tokenizer.encode(await defaultFiller())).subarray(0, TOKENS);
  });
  afterAll(async () => {
    await model.dispose();
    await rm(folder, { recursive: true });
  });

  /** Measures into a tally from where it is; `stopAt` interrupts it once that number of tokens is done. */
  async function measureInto(tally: LawTally, resumeFrom: TextProgress, save: () => Promise<void>, stopAt = TOKENS) {
    await using session = await model.createSession({
      attention: { policy: 'dense' },
      encodings: encodingsToMeasure('sieve'),
      denseFallback: false,
    });
    const stop = new AbortController();
    return await measureText({
      session,
      tokens,
      queries: design.queries[0] ?? [],
      tally,
      policy: 'sieve',
      resumeFrom,
      signal: stop.signal,
      async onProgress(progress) {
        Object.assign(resumeFrom, progress);
        await save();
        if (progress.done >= stopAt) stop.abort();
      },
    });
  }

  it('samples every query that it was designed to, and what it finds is that of its position', async () => {
    const tally = new LawTally(design.tally);
    const { done, prefillMs, measureMs } = await measureInto(tally, { ...START }, async () => {});
    expect(done).toBe(TOKENS);
    expect(prefillMs).toBeGreaterThan(0);
    expect(measureMs).toBeGreaterThan(0);
    const { lengths, heads, layers } = design.tally;
    const seen = [...tally.n].sort((a, b) => a - b);
    expect(seen).toEqual((design.queries[0] ?? []).map(({ position }) => position + 1));
    for (const length of lengths.keys()) {
      const [from, to] = tally.range(length);
      for (let row = 0; row < layers * heads; row++) {
        const few = tally.keys(row, 'mass', 0).subarray(from, to);
        const many = tally.keys(row, 'mass', 2).subarray(from, to);
        for (let i = 0; i < few.length; i++) {
          expect(few[i]).toBeGreaterThanOrEqual(1);
          expect(many[i]).toBeGreaterThanOrEqual(few[i] as number);
          expect(many[i]).toBeLessThanOrEqual(tally.n[from + i] as number);
        }
        const shares = tally.scalar(row, length, 'sinkMass') + tally.scalar(row, length, 'localMass');
        expect(shares).toBeLessThanOrEqual(1 + 1e-5);
      }
    }
    // A trial reads more bytes with a larger budget, and errs less.
    const reading = [0, 2].map((budget) => tally.reading(lengths.length - 1, budget).bytes);
    expect(reading[1]).toBeGreaterThan(reading[0] as number);
  });

  it('ends with the same numbers when it was interrupted, and leaves out what it has', async () => {
    const whole = new LawTally(design.tally);
    await measureInto(whole, { ...START }, async () => {});
    const open = (...textHashes: string[]) =>
      openRun({ path: file('state.json'), run: RUN, design: design.tally, textHashes });
    {
      await using first = await open('text');
      const [text] = first.texts;
      if (text === undefined) throw new Error('no text');
      await expect(measureInto(text.tally, text.progress, first.save, 512)).rejects.toMatchObject({ code: 'aborted' });
    }
    {
      await using second = await open('text');
      const [again] = second.texts;
      if (again === undefined) throw new Error('no text');
      expect(again.progress.done).toBe(512);
      expect(again.tally.arrays()).not.toEqual(whole.arrays());
      await measureInto(again.tally, again.progress, second.save);
      expect(again.tally.arrays()).toEqual(whole.arrays());
    }
    await using third = await open('text', 'another text');
    expect(third.texts.map(({ progress }) => progress.done)).toEqual([TOKENS, 0]);
  });
});

describe('designOf', () => {
  const config = { layers: 2, heads: 4, keyValueHeads: 2 } as Parameters<typeof createDesign>[0]['config'];
  const base = { config, tokens: 8192, lengths: undefined, samples: 32, seed: 1, texts: 1 };

  it('takes half powers of two of the tokens down to 512, and queries of the last tenth before each', () => {
    const { tally, queries } = createDesign(base);
    expect(tally.lengths).toEqual([512, 724, 1024, 1448, 2048, 2896, 4096, 5793, 8192]);
    expect(queries[0]).toHaveLength(9 * 32);
    for (const { position, length } of queries[0] ?? []) {
      const n = tally.lengths[length] as number;
      expect(position + 1).toBeGreaterThan(0.9 * n);
      expect(position + 1).toBeLessThanOrEqual(n);
    }
    const places = new Set(queries[0]?.map(({ position }) => position));
    expect(places.size).toBe(9 * 32);
    expect(tally.trialCounts).toEqual(tally.lengths.map(() => 8));
    expect(lengthsUpTo(1000)[0]).toBeGreaterThanOrEqual(250);
  });

  it('is the same for a seed, another for another, and of a text whatever comes after it', () => {
    const [first] = createDesign(base).queries;
    expect(createDesign(base).queries[0]).toEqual(first);
    expect(createDesign({ ...base, seed: 9 }).queries[0]).not.toEqual(first);
    const two = createDesign({ ...base, texts: 2 }).queries;
    expect(two[0]).toEqual(first);
    expect(two[1]).not.toEqual(first);
  });

  it.for([[[9000]], [[512, 512]], [[2]]])('refuses lengths %j', ([lengths]) => {
    const code = expect.objectContaining({ code: 'invalid-argument' });
    expect(() => createDesign({ ...base, lengths: lengths as number[] })).toThrow(code);
  });
});
