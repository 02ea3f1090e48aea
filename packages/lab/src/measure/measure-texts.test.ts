import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadModel, type Model } from '@keysieve/llm';
import { readLaw } from 'keysieve';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { textHash } from '../results/text-hash.ts';
import { defaultFiller } from '../tasks/default-filler.ts';
import { createDesign } from './design.ts';
import { type MeasureTextsOptions, measureTexts } from './measure-texts.ts';

const LENGTHS = [512, 724, 1024, 1448, 2048];

describe('measureTexts', () => {
  let model: Model;
  let folder: string;
  let content: string;
  const file = (name: string) => join(folder, name);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-measure-texts-'));
    model = await loadModel('nano', { precision: 'fp32', threads: 1, context: 2048 });
    content = await defaultFiller();
  });
  afterAll(async () => {
    await model.dispose();
    await rm(folder, { recursive: true });
  });

  const measure = (options: Partial<MeasureTextsOptions> = {}) =>
    measureTexts({
      model,
      texts: [{ name: 'licence', content }],
      tokens: 2048,
      lengths: LENGTHS,
      samples: 4,
      ...options,
    });

  it('gives a law that can be read back, and what it cost', async () => {
    const { law, cost } = await measure();
    expect(readLaw(JSON.stringify(law), 'law.json')).toEqual(JSON.parse(JSON.stringify(law)));
    expect(law.model).toMatchObject({ name: model.name, hash: await model.hash(), layers: 6, heads: 3 });
    expect(law.texts).toEqual([{ name: 'licence', hash: textHash(content), tokens: 2048 }]);
    expect(law.lengths).toEqual(LENGTHS);
    expect(law.heads).toHaveLength(18);
    expect(cost.ratio).toBeCloseTo((cost.prefillMs + cost.measureMs) / cost.prefillMs, 10);
    expect(cost.ratio).toBeGreaterThan(1);
  });

  it('fits laws to the lengths that are asked for only', async () => {
    expect((await measure({ fittedTo: 1448 })).law.lengths).toEqual(LENGTHS.slice(0, 4));
  });

  it('continues an interrupted measurement to the same law, and removes what it saved', async () => {
    const save = file('run');
    const stop = new AbortController();
    const notes: string[] = [];
    const interrupted = measure({
      save,
      signal: stop.signal,
      onNote: (note) => notes.push(note),
      onProgress: (_, done) => done >= 512 && stop.abort(),
    });
    await expect(interrupted).rejects.toThrow();
    expect(notes).toEqual([`${save} keeps what was measured: run it again to continue.`]);
    const seen: number[] = [];
    const { law } = await measure({ save, onProgress: (_, done) => seen.push(done) });
    expect(seen[0]).toBe(512);
    expect(law).toEqual((await measure()).law);
    await expect(access(save)).rejects.toThrow();
  });

  it('keeps what it saved where it is told to, for more texts', async () => {
    const save = file('kept');
    const first = { name: 'licence', content };
    await measure({ save, keepSave: true });
    const seen = new Set<string>();
    const second = { name: 'reversed', content: [...content].reverse().join('') };
    const { law } = await measure({ save, texts: [first, second], onProgress: (what) => seen.add(what) });
    expect([...seen]).toEqual(['measuring reversed']);
    expect(law.texts.map(({ name }) => name)).toEqual(['licence', 'reversed']);
    expect(law.summary.textCorrelation).not.toBeNull();
  });

  it('does not write over a file that is something else', async () => {
    await writeFile(file('notes'), 'mine');
    await expect(measure({ save: file('notes') })).rejects.toMatchObject({ code: 'invalid-file' });
  });

  it.for([
    ['a text that is too short', { tokens: 1_000_000, lengths: undefined }],
    ['a length past the tokens', { lengths: [450, 2049] }],
    ['lengths that do not ascend', { lengths: [450, 225] }],
    ['a single length', { lengths: [2048] }],
  ] as const)('refuses %s', async ([, options]) => {
    await expect(measure(options as Partial<MeasureTextsOptions>)).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});

describe('createDesign', () => {
  const config = { layers: 2, heads: 4, keyValueHeads: 2 } as Model['config'];

  it('samples each length at its end, and tries the policy on every fourth query', () => {
    const { tally, queries } = createDesign({
      config,
      tokens: 2048,
      lengths: [1024, 2048],
      samples: 8,
      seed: 1,
      texts: 1,
    });
    expect(tally).toMatchObject({ layers: 2, heads: 4, keyValueHeads: 2, queryCounts: [8, 8], trialCounts: [2, 2] });
    const [text = []] = queries;
    expect(text).toHaveLength(16);
    for (const { position, length, index, trial } of text) {
      expect(position).toBeGreaterThanOrEqual(0.9 * (tally.lengths[length] as number));
      expect(position).toBeLessThan(tally.lengths[length] as number);
      expect(trial).toBe(index % 4 === 0 ? index / 4 : undefined);
    }
  });

  it('has a ladder that goes up to half of the tokens', () => {
    const { tally } = createDesign({ config, tokens: 4096, lengths: undefined, samples: 1, seed: 1, texts: 1 });
    expect(tally.ladder.slice(0, 7)).toEqual([4, 8, 16, 32, 64, 128, 181]);
    expect(tally.ladder.at(-1)).toBeGreaterThan(1400);
    expect(tally.ladder.at(-1)).toBeLessThanOrEqual(2048);
    expect(tally.lengths[0]).toBe(512);
    expect(tally.lengths.at(-1)).toBe(4096);
  });

  it('samples other positions of another text', () => {
    const { queries } = createDesign({ config, tokens: 2048, lengths: undefined, samples: 8, seed: 1, texts: 2 });
    expect(queries[0]?.map(({ position }) => position)).not.toEqual(queries[1]?.map(({ position }) => position));
  });
});
