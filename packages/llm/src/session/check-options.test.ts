import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inspectModel } from './inspection.ts';
import { loadModel, type Model } from './load-model.ts';
import type { Session } from './session.ts';

const invalid = (code = 'invalid-argument') => expect.objectContaining({ name: 'KeysieveError', code });
/** As JavaScript calls it. */
type Any = never;

let model: Model;
let session: Session;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keysieve-options-'));
  model = await loadModel('nano', { precision: 'fp32', threads: 1, context: 1024 });
  session = await model.createSession();
});
afterAll(async () => {
  await session.dispose();
  await model.dispose();
  await rm(folder, { recursive: true });
});

describe('arguments of the wrong kind are refused with a code', () => {
  it.each([[5], [undefined], [null], [{}], [['nano']]])('a model: %s', async (source) => {
    await expect(loadModel(source as Any)).rejects.toEqual(invalid());
    await expect(inspectModel(source as Any)).rejects.toEqual(invalid());
  });

  it.each([
    { precision: 'quick' },
    { precision: '' },
    { precision: 16 },
    { threads: 2.5 },
    { threads: 0 },
    { threads: 5000 },
    { threads: '2' },
    { context: 1e12 },
    { context: -1 },
    { context: Number.NaN },
    { cacheFolder: 5 },
    { cacheFolder: '' },
    { signal: {} },
    { onProgress: 'x' },
    null,
    'fp32',
  ])('options of a model: %j', async (options) => {
    const folder = await mkdtemp(join(tmpdir(), 'keysieve-options-'));
    const merged = typeof options === 'object' && options !== null ? { cacheFolder: folder, ...options } : options;
    await expect(loadModel('nano', merged as Any)).rejects.toEqual(invalid());
    expect(await readdir(folder)).toEqual([]);
    await rm(folder, { recursive: true });
  });

  it.each([
    { attention: 'sieve' },
    { attention: { policy: 'x' } },
    { attention: null },
    { prefill: 'dense' },
    { prefill: {} },
    { encodings: ['x'] },
    { encodings: 'int4' },
    { cachePrecision: 'f8' },
    { cachePrecision: 'F16' },
    { cachePrecision: 16 },
    { denseFallback: 'no' },
    { memoryLimit: -1 },
    { memoryLimit: 'much' },
    null,
  ])('options of a session: %j', async (options) => {
    await expect(model.createSession(options as Any)).rejects.toEqual(invalid());
  });

  it.each([[null], [undefined], [5], [{}], [new Uint8Array(3)]])('a prompt: %s', async (prompt) => {
    await expect(session.generate(prompt as Any).result).rejects.toEqual(invalid());
    expect(() => model.encode(prompt as Any)).toThrow(invalid());
  });

  it.each([[[null]], [[1, 2, 3]], [['text']], [[{ role: 'user' }]], [[undefined]]])('messages: %j', async (prompt) => {
    const error = await session.generate(prompt as Any).result.catch((each) => each);
    expect(error).toMatchObject({ name: 'KeysieveError', code: expect.stringMatching(/^chat-/) });
  });

  it.each([
    { stop: 'x' },
    { stop: null },
    { stop: [5] },
    { signal: {} },
    { maxTokens: 1.5 },
    { maxTokens: '3' },
    { onPrefill: 5 },
    { special: 'yes' },
    { temperature: 'hot' },
    { topK: null },
    { logProbabilities: -1 },
    { logProbabilities: 'all' },
    { constraint: {} },
    { constraint: { mask() {} } },
    { grammar: 'json' },
    { grammar: { type: 'xml' } },
    null,
  ])('options of an answer: %j', (options) => {
    expect(() => session.generate('abc', options as Any)).toThrow(invalid());
  });

  it.each([{ chunkTokens: 'a' }, { chunkTokens: 0 }, { logits: 'some' }, { attention: 'sieve' }, { signal: 5 }, null])(
    'options of an evaluation: %j',
    async (options) => {
      const evaluation = session.evaluate(Int32Array.of(1, 2, 3), options as Any);
      await expect(evaluation.next()).rejects.toEqual(invalid());
    },
  );

  it.each([
    ['loadModel', 'thread', 'threads', () => loadModel('nano', { thread: 1 } as Any)],
    ['inspectModel', 'Context', 'context', () => inspectModel('nano', { Context: 1 } as Any)],
    ['createSession', 'denseFallBack', 'denseFallback', () => model.createSession({ denseFallBack: false } as Any)],
    ['generate', 'max_tokens', 'maxTokens', async () => session.generate('abc', { max_tokens: 1 } as Any)],
    [
      'evaluate',
      'chunkToken',
      'chunkTokens',
      () => session.evaluate(Int32Array.of(1), { chunkToken: 1 } as Any).next(),
    ],
    [
      'restore',
      'memorylimit',
      'memoryLimit',
      async () => {
        const path = join(folder, 'session.ksnap');
        await session.save(path);
        return model.restore(path, { memorylimit: 1 } as Any);
      },
    ],
  ])('a misspelt option of %s: %s, for which %s is named', async (_, found, meant, call) => {
    await expect(call()).rejects.toMatchObject({
      code: 'invalid-argument',
      found,
      remedy: `Did you mean ${meant}?`,
    });
  });

  it('a model that is disposed of', async () => {
    const other = await loadModel('nano', { precision: 'fp32', threads: 1, context: 1024 });
    const path = join(folder, 'other.ksnap');
    await session.save(path);
    await other.dispose();
    for (const call of [() => other.createSession(), () => other.createBoundedSession(), () => other.restore(path)]) {
      await expect(call()).rejects.toEqual(invalid('disposed'));
    }
  });

  it('a text to encode', () => {
    for (const text of [5, null, undefined, ['a']])
      expect(() => model.tokenizer.encode(text as Any)).toThrow(invalid());
  });
});
