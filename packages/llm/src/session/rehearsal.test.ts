/** Decoding before the first token is wanted: once a model, and without a trace. */
import { KvCache } from 'keysieve';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadModel, type Model } from './load-model.ts';
import type { SessionOptions } from './session-options.ts';

/** 1,700 tokens of nano, of which the last 164 are read after the rehearsal. */
const PROMPT = 'The number of amber fox is 48213. '.repeat(50);
const LAST_CHUNK = 1536;

describe('a rehearsal', () => {
  let model: Model;
  beforeEach(async () => {
    model = await loadModel('nano', { precision: 'fp32', threads: 1, context: 4096 });
  });
  afterEach(() => model.dispose());

  /** An answer, all that it says of itself but times, and how often a single row was written where it is rehearsed. */
  async function answerOf(options: SessionOptions, prompt = PROMPT) {
    await using session = await model.createSession(options);
    const write = vi.spyOn(KvCache.prototype, 'write');
    const result = await session.generate(prompt, { maxTokens: 12, seed: 1 }).result;
    const { headDim, keyValueHeads } = model.config;
    const isRehearsed = ([, position, keys]: Parameters<KvCache['write']>) =>
      position === LAST_CHUNK && keys.length === headDim * keyValueHeads;
    const rehearsed = write.mock.calls.filter(isRehearsed).length;
    write.mockRestore();
    const { prefillMs: _, decodeMs, ...answer } = result;
    return { rehearsed, answer: { ...answer, count: decodeMs.length, cached: [...session.tokens] } };
  }

  it.each<SessionOptions>([
    { attention: { policy: 'sieve', budget: 'fixed:64' }, denseFallback: false },
    { attention: { policy: 'sieve', budget: 'fixed:64' }, denseFallback: false, cachePrecision: 'int8' },
    { attention: { policy: 'dense' } },
  ])('leaves the answer as it would be: %j', async (options) => {
    const first = await answerOf(options);
    const second = await answerOf(options);
    expect(first.rehearsed).toBeGreaterThan(0);
    expect(second.rehearsed).toBe(0);
    expect(first.answer).toEqual(second.answer);
  });

  it('is left out behind short prompts', async () => {
    expect((await answerOf({}, PROMPT.slice(0, 700))).rehearsed).toBe(0);
    expect((await answerOf({ attention: { policy: 'dense' } })).rehearsed).toBeGreaterThan(0);
  });

  it('ends with the prompt where that is aborted, and the next answer is a fresh one', async () => {
    const options: SessionOptions = { attention: { policy: 'sieve', budget: 'fixed:64' }, denseFallback: false };
    const fresh = await answerOf(options);
    const other = await loadModel('nano', { precision: 'fp32', threads: 1, context: 4096 });
    await using session = await other.createSession(options);
    const controller = new AbortController();
    const onPrefill = ({ done }: { done: number }) => done === LAST_CHUNK && controller.abort();
    const aborted = await session.generate(PROMPT, { signal: controller.signal, onPrefill }).result;
    expect(aborted.finishReason).toBe('aborted');
    expect(session.tokens).toHaveLength(LAST_CHUNK);
    const { text } = await session.generate(PROMPT, { maxTokens: 12, seed: 1 }).result;
    expect(text).toBe(fresh.answer.text);
    await session.dispose();
    await other.dispose();
  });
});
