/** Runs whose shards were computed apart: merged, they are the run of one process, and nothing else is merged. */
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadModel, type Model } from '@keysieve/llm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { captureFixture } from '../test/capture-fixture.ts';
import { registerBaselines } from './baselines/index.ts';
import { writeTensors } from './captures/safetensors.ts';
import { type EvaluateTextOptions, evaluateText, prepareText } from './eval/evaluate-text.ts';
import { measureTexts, prepareLaw } from './measure/measure-texts.ts';
import { mergeRuns } from './merge-runs.ts';
import { methodDocument } from './methods/document.ts';
import { prepareMethods, runMethodStudy } from './methods/study.ts';
import type { Cell } from './results/cell.ts';
import { type Run, runShard } from './results/run.ts';
import { defaultFiller } from './tasks/default-filler.ts';
import { evaluateTasks, prepareTasks } from './tasks/evaluate-tasks.ts';

await registerBaselines();

describe('merged runs', () => {
  let model: Model;
  let folder: string;
  let text: { name: string; content: string };
  const file = (name: string) => join(folder, name);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-merge-'));
    model = await loadModel('nano', { precision: 'fp32', threads: 1, context: 2048 });
    text = { name: 'licence', content: await defaultFiller() };
  });
  afterAll(async () => {
    await model.dispose();
    await rm(folder, { recursive: true });
  });

  /** Computes every shard of a run into a file of its own, the last one first. */
  async function shardsOf<C extends Cell>(name: string, count: number, prepare: () => Promise<Run<C, unknown>>) {
    const files = Array.from({ length: count }, (_, i) => file(`${name}-${i + 1}.jsonl`));
    for (const [i, save] of [...files.entries()].reverse()) {
      await runShard(await prepare(), { index: i + 1, count }, { save });
    }
    return files;
  }

  const textOptions = (change: Partial<EvaluateTextOptions> = {}): EvaluateTextOptions => ({
    model,
    text,
    tokens: 300,
    evalTokens: 8,
    auditTokens: 2,
    timedSteps: 0,
    policies: ['sieve', 'quest', 'snapkv'].map((policy) => ({ policy, budget: 'fixed:48' })),
    prefills: [{ policy: 'dense' }, { policy: 'sieve', budget: 'fixed:64' }],
    target: { kl: 0.5, by: 'bytes' },
    ...change,
  });

  it('give the report of one process on a text, byte for byte, in whatever order, and again', async () => {
    const whole = JSON.stringify(await evaluateText(textOptions()));
    const files = await shardsOf('text', 4, () => prepareText(textOptions()));
    const merged = await mergeRuns(files, file('merged.jsonl'));
    expect(Object.keys(merged)).toEqual(['text']);
    expect(JSON.stringify(merged.text)).toBe(whole);
    const again = await mergeRuns([...files.toReversed(), file('merged.jsonl'), ...files], file('again.jsonl'));
    expect(JSON.stringify(again.text)).toBe(whole);
    expect(await readFile(file('again.jsonl'), 'utf8')).toBe(await readFile(file('merged.jsonl'), 'utf8'));
    // A run that goes on from merged results computes nothing.
    const [seen, before] = [new Set<string>(), await readFile(file('merged.jsonl'), 'utf8')];
    const resumed = await evaluateText(
      textOptions({ save: file('merged.jsonl'), onProgress: (what) => seen.add(what) }),
    );
    expect(JSON.stringify(resumed)).toBe(whole);
    expect([[...seen], await readFile(file('merged.jsonl'), 'utf8')]).toEqual([[], before]);
  });

  it('keep times apart, with the machine that took them', async () => {
    const options = () => textOptions({ timedSteps: 1, prefills: [{ policy: 'dense' }] });
    const files = await shardsOf('timed', 2, () => prepareText(options()));
    const { text: merged } = await mergeRuns(files);
    const whole = await evaluateText(options());
    expect(JSON.stringify({ ...merged, times: null, suggestion: null })).toBe(
      JSON.stringify({ ...whole, times: null, suggestion: null }),
    );
    expect(merged?.times).toMatchObject({ machine: { threads: 1 }, prefills: [{ policy: 'dense' }] });
    expect(merged?.times?.steps.map(({ policy }) => policy)).toEqual(['dense', 'sieve', 'quest', 'snapkv']);
  });

  it('give the answers of one process', async () => {
    const options = () => ({
      model,
      tasks: ['recall', 'variables'],
      lengths: [450, 500],
      depths: 2,
      samples: 1,
      policies: [{ policy: 'dense' }, { policy: 'window', budget: 'fixed:48' }],
    });
    const files = await shardsOf('tasks', 3, () => prepareTasks(options()));
    const { times: _, ...whole } = await evaluateTasks(options());
    const { tasks } = await mergeRuns(files);
    expect(JSON.stringify({ ...tasks, times: undefined })).toBe(JSON.stringify(whole));
    expect(tasks?.times[0]?.policies.map(({ answers }) => answers)).toEqual([6, 6]);
  });

  it('give the law of one process, and leave nothing else behind', async () => {
    const texts = [text, { name: 'reversed', content: [...text.content].reverse().join('') }];
    const options = (save?: string) => ({ model, texts, tokens: 2048, lengths: [512, 1024, 2048], samples: 4, save });
    const files = await shardsOf('law', 2, () => prepareLaw(options(file('law.partial'))));
    const { law } = await mergeRuns(files);
    expect(JSON.stringify(law?.law)).toBe(JSON.stringify((await measureTexts(options())).law));
    expect(law?.cost.ratio).toBeGreaterThan(1);
    await expect(readFile(file('law.partial'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('give the study of one process', async () => {
    const tensors = captureFixture().flatMap(({ name, headDim, n, group, lastQueries, keys, values, queries }) => [
      [`${name}.k`, { shape: [n, headDim], numbers: keys }],
      [`${name}.v`, { shape: [n, headDim], numbers: values }],
      [`${name}.q`, { shape: [group, lastQueries, headDim], numbers: queries }],
    ]);
    await writeTensors(file('heads.safetensors'), Object.fromEntries(tensors), 'F32', {});
    const captures = [{ name: 'heads.safetensors', path: file('heads.safetensors') }];
    const options = { captures, methods: ['kronecker', 'one-pass', 'surprise'], seed: 2 };
    const files = await shardsOf('methods', 3, () => prepareMethods(options));
    const { methods } = await mergeRuns(files);
    const whole = await runMethodStudy(options);
    expect(JSON.stringify(methods)).toBe(JSON.stringify(whole));
    expect(methodDocument(methods as typeof whole)).toBe(methodDocument(whole));
  });

  it('are refused where they do not belong together, contradict each other or are not complete', async () => {
    const files = await shardsOf('base', 2, () => prepareText(textOptions()));
    const foreign = await shardsOf('foreign', 1, () => prepareText(textOptions({ evalTokens: 9 })));
    await expect(mergeRuns([...files, ...foreign])).rejects.toMatchObject({
      code: 'results-foreign',
      found: 'other settings: evalTokens',
    });
    await expect(mergeRuns([files[0] as string])).rejects.toMatchObject({
      code: 'results-incomplete',
      found: expect.stringContaining('3 of 6 are missing'),
    });
    const second = await readFile(files[1] as string, 'utf8');
    await writeFile(file('empty.jsonl'), `${second.split('\n')[0]}\n`);
    await expect(mergeRuns([file('empty.jsonl')])).rejects.toMatchObject({ code: 'results-foreign' });
    await expect(mergeRuns([file('nowhere.jsonl')])).rejects.toMatchObject({ code: 'file-not-found' });
    // What was cut off is not there; what was changed is refused.
    await appendFile(files[0] as string, '{"run":"ab');
    await expect(mergeRuns(files)).resolves.toBeDefined();
    await writeFile(
      files[1] as string,
      second.replace(/"keysExact":(\d)/, (_, digit) => `"keysExact":${9 - Number(digit)}`),
    );
    await expect(mergeRuns(files)).rejects.toMatchObject({ code: 'invalid-file' });
  });

  it('are refused where one cell has two results', async () => {
    const one = file('one.jsonl');
    await runShard(await prepareText(textOptions()), { index: 1, count: 1 }, { save: one });
    const other = file('other.jsonl');
    await writeFile(other, await readFile(one, 'utf8'));
    const run = await prepareText(textOptions());
    const broken: typeof run = {
      ...run,
      open: async () => ({
        compute: async () => ({ value: { kl: [] }, times: null }),
        async [Symbol.asyncDispose]() {},
      }),
      cells: run.cells?.slice(0, 1),
    };
    const fresh = file('fresh.jsonl');
    await runShard(broken, { index: 1, count: 1 }, { save: fresh });
    await expect(mergeRuns([one, other, fresh])).rejects.toMatchObject({ code: 'results-conflict' });
  });

  it('cannot be those of a ladder, on which each result decides what comes next', async () => {
    const { policies: _, ...ladder } = textOptions();
    await expect(shardsOf('ladder', 2, () => prepareText(ladder))).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});
