/** A model in a worker of a page: it answers, can be stopped, tells of errors, and the page goes on meanwhile. */
import { afterEach, describe, expect, it } from 'vitest';
import { createWorkerModel, type WorkerModel } from './worker-model.ts';

const startWorker = () => new Worker(new URL('../browser-worker.ts', import.meta.url), { type: 'module' });
const nano = async () => new File([await (await fetch('/models/nano/nano.gguf')).blob()], 'nano.gguf');
const FACT = 'The number of amber fox is 48213. ';
const LINE = 'The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. ';

let model: WorkerModel | undefined;
afterEach(async () => {
  await model?.dispose();
  model = undefined;
});

describe('a model in a worker', () => {
  it('loads with one figure for all phases, answers in pieces, and shows where it has looked', async () => {
    const overall: number[] = [];
    model = await createWorkerModel(startWorker(), await nano(), {
      threads: 1,
      onProgress: (progress) => overall.push(progress.overall),
    });
    expect(overall).toEqual(overall.toSorted((a, b) => a - b));
    expect(overall.at(-1)).toBeCloseTo(1);
    const session = await model.createSession({ denseFallback: false });
    const prompt = `${FACT}${LINE.repeat(20)}The number of amber fox is `;
    const reading: number[] = [];
    const generation = session.generate(prompt, { maxTokens: 6, onPrefill: ({ done }) => reading.push(done) });
    let text = '';
    for await (const chunk of generation) text += chunk.text;
    const result = await generation.result;
    expect(text).toBe(result.text);
    expect(text).toContain('48213');
    expect(reading.at(-1)).toBe(result.promptTokens);
    const weights = [...(await session.attentionMap())];
    const texts = await model.tokenTexts(await model.encode(prompt));
    expect(texts.join('')).toContain(FACT.trim());
    // But for the beginning and the end, where every head looks, the brightest place is that of the number.
    const middle = weights.slice(4, texts.length - 128);
    const brightest = 4 + middle.indexOf(Math.max(...middle));
    expect(texts.slice(0, brightest + 1).join('').length).toBeLessThan(FACT.length);
    expect(weights.every((weight) => weight >= 0 && weight <= 1)).toBe(true);
  });

  it('stops when it is told to, keeps what it has read, and goes on from there', async () => {
    model = await createWorkerModel(startWorker(), await nano(), { threads: 1 });
    const session = await model.createSession({ denseFallback: false });
    const prompt = LINE.repeat(120);
    const abort = new AbortController();
    const generation = session.generate(prompt, {
      maxTokens: 1,
      signal: abort.signal,
      onPrefill: ({ done }) => done > 0 && abort.abort(),
    });
    expect((await generation.result).finishReason).toBe('aborted');
    const again = await session.generate(prompt, { maxTokens: 1 }).result;
    expect(again.reusedTokens).toBeGreaterThan(0);
    expect(again.finishReason).toBe('length');
  });

  it('tells what is wrong with a file, by its code', async () => {
    const wrong = createWorkerModel(startWorker(), new File(['<html>'], 'model.gguf'));
    await expect(wrong).rejects.toMatchObject({ code: 'not-gguf', found: expect.stringContaining('HTML') });
  });
});
