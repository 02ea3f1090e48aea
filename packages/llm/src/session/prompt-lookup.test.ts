import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadModel, type Model } from './load-model.ts';
import { createPromptLookup, MAX_DRAFT_TOKENS } from './prompt-lookup.ts';

const count = (length: number, from = 0) => Array.from({ length }, (_, i) => from + i);

describe('a draft', () => {
  it('is what followed on the last tokens before', () => {
    const lookup = createPromptLookup();
    const tokens = [...count(20), 99, 4, 5, 6];
    const draft = lookup.propose(tokens, 7);
    expect(draft.length).toBeGreaterThan(0);
    expect(draft).toEqual(count(draft.length, 7));
    expect(lookup.propose(tokens, 0)).toEqual([]);
  });

  it('is empty where they were not there, at the end of what there is, and of less than three tokens', () => {
    expect(createPromptLookup().propose([...count(20), 99, 98], 7)).toEqual([]);
    expect(createPromptLookup().propose(count(20), 7)).toEqual([]);
    expect(createPromptLookup().propose([1, 1], 7)).toEqual([]);
  });

  it('grows where drafts are right, and ends where they are wrong, but for a trial now and then', () => {
    const lookup = createPromptLookup();
    const tokens = [...count(20), 99, 4, 5, 6];
    for (let i = 0; i < 30; i++) lookup.learn({ proposed: 4, accepted: 4 });
    expect(lookup.propose(tokens, 100)).toEqual(count(MAX_DRAFT_TOKENS, 7));
    for (let i = 0; i < 30; i++) lookup.learn({ proposed: 4, accepted: 0 });
    const lengths = count(320).map(() => lookup.propose(tokens, 7).length);
    expect(lengths.filter((length) => length > 0)).toEqual(Array(10).fill(1));
  });

  it('is not made of positions that an answer that was cut has left behind', () => {
    const lookup = createPromptLookup();
    lookup.propose([...count(20), 50, 51, 52, 53], 7);
    const cut = [...count(20), 60, 50, 51, 52];
    expect(lookup.propose(cut, 7)).toEqual([]);
  });
});

describe('an answer', () => {
  let model: Model;
  beforeAll(async () => {
    model = await loadModel('nano', { precision: 'fp32', threads: 2, context: 2048 });
  });
  afterAll(() => model.dispose());

  const REPEATING = 'The number of amber fox is 48213. It is known to all. '.repeat(8);
  const SIEVE = { attention: { policy: 'sieve', budget: 'fixed:16' }, denseFallback: false };

  it.each([
    ['greedy, dense', { attention: { policy: 'dense' } }, { temperature: 0 }],
    ['greedy, sieve', SIEVE, { temperature: 0 }],
    ['drawn with a seed', { attention: { policy: 'dense' } }, { temperature: 0.8, seed: 5 }],
    ['with a repetition penalty', { attention: { policy: 'dense' } }, { temperature: 0, repetitionPenalty: 1.05 }],
  ])('is the same with drafts as without, %s', async (_, sessionOptions, options) => {
    const generate = async (promptLookup: boolean) => {
      await using session = await model.createSession(sessionOptions);
      const result = await session.generate(REPEATING, { maxTokens: 120, ...options, promptLookup }).result;
      return { result, cached: [...session.tokens] };
    };
    const [plain, drafted] = [await generate(false), await generate(true)];
    expect(drafted.result.tokens).toEqual(plain.result.tokens);
    expect(drafted.cached).toEqual(plain.cached);
    expect(drafted.result.decodeMs).toHaveLength(plain.result.decodeMs.length);
    expect(plain.result.drafts).toEqual({ proposed: 0, accepted: 0 });
  });

  it('that repeats its prompt is drafted, and ends where it would without', async () => {
    await using session = await model.createSession({ attention: { policy: 'dense' } });
    const { drafts, text } = await session.generate(REPEATING, { maxTokens: 120, temperature: 0 }).result;
    expect(drafts.accepted).toBeGreaterThan(20);
    await using other = await model.createSession({ attention: { policy: 'dense' } });
    const stop = text.slice(50, 56);
    const cut = await other.generate(REPEATING, { maxTokens: 120, temperature: 0, stop: [stop] }).result;
    expect(cut.text).toBe(text.slice(0, text.indexOf(stop)));
    // Nothing of what was checked behind the stop string is left in the cache.
    expect(other.tokens.length).toBe(REPEATING.length + cut.tokens.length - 1);
  });
});
