import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadModel, type Model } from './load-model.ts';
import type { Session } from './session.ts';

const TEXT = 'The number of amber fox is 48213. '.repeat(12);
const QUESTIONS = ['The number of amber fox is ', 'amber fox amber fox'];

describe('forks of a session', () => {
  let model: Model;

  beforeAll(async () => {
    model = await loadModel('nano', { precision: 'fp32', threads: 2, context: 4096 });
  });
  afterAll(() => model.dispose());

  const answer = async (session: Session, question: string) =>
    (await session.generate(TEXT + question, { maxTokens: 12 }).result).tokens;

  it('answer as sessions that have read the prompt themselves, and read only what is new', async () => {
    await using parent = await model.createSession();
    await parent.generate(TEXT, { maxTokens: 1 }).result;
    const forks = QUESTIONS.map(() => parent.fork());
    const before = parent.tokens.length;
    for (const [i, question] of QUESTIONS.entries()) {
      await using alone = await model.createSession();
      await alone.generate(TEXT, { maxTokens: 1 }).result;
      const expected = await alone.generate(TEXT + question, { maxTokens: 12 }).result;
      const result = await (forks[i] as Session).generate(TEXT + question, { maxTokens: 12 }).result;
      expect(result.tokens).toEqual(expected.tokens);
      expect(result.reusedTokens).toBe(expected.reusedTokens);
      expect(result.reusedTokens).toBeGreaterThan(TEXT.length - 2);
    }
    expect(parent.tokens).toHaveLength(before);
    for (const fork of forks) await fork.dispose();
    await expect(answer(parent, QUESTIONS[0] as string)).resolves.toHaveLength(12);
  });

  it('outlive the session that they were made of', async () => {
    const parent = await model.createSession();
    const first = await answer(parent, QUESTIONS[0] as string);
    await using fork = parent.fork();
    await parent.dispose();
    expect(await answer(fork, QUESTIONS[0] as string)).toEqual(first);
  });

  it('are refused while the session works', async () => {
    await using session = await model.createSession();
    const { result } = session.generate(TEXT, { maxTokens: 2 });
    expect(() => session.fork()).toThrow(expect.objectContaining({ code: 'session-busy' }));
    await result;
    await session.fork().dispose();
    await session.dispose();
    expect(() => session.fork()).toThrow(expect.objectContaining({ code: 'disposed' }));
  });
});
