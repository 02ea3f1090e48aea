/** Several sessions of a model at once, on the model that comes with the package. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { GenerateOptions } from './generate-options.ts';
import { loadModel, type Model } from './load-model.ts';
import type { Session } from './session.ts';

const TEXTS = Array.from({ length: 8 }, (_, i) => `The number of amber fox is ${10_007 * (i + 1)}. `.repeat(4 + i));
const DENSE = { attention: { policy: 'dense' } };

describe('sessions that generate at once', () => {
  let model: Model;
  let sessions: Session[] = [];
  beforeAll(async () => {
    model = await loadModel('nano', { precision: 'fp32', threads: 2, context: 4096 });
  });
  afterEach(async () => {
    for (const session of sessions) await session.dispose();
    sessions = [];
  });
  afterAll(() => model.dispose());

  async function createSession(options = DENSE): Promise<Session> {
    const session = await model.createSession(options);
    sessions.push(session);
    return session;
  }

  it.each([DENSE, { attention: { policy: 'sieve', budget: 'fixed:16' }, denseFallback: false }])(
    'give the tokens that each gives alone, with %o',
    async (options) => {
      const generate = async (text: string) =>
        (await (await createSession(options)).generate(text, { maxTokens: 24, temperature: 0 }).result).tokens;
      const together = await Promise.all(TEXTS.map(generate));
      for (const [i, text] of TEXTS.entries()) expect(together[i]).toEqual(await generate(text));
    },
  );

  it('share their passes', async () => {
    // Passes are told apart by when they end: rows of one pass end at the same time.
    const events: string[] = [];
    const generate = async (name: string) => {
      const session = await createSession();
      for await (const _ of session.generate(TEXTS[0] as string, { maxTokens: 40 })) events.push(name);
    };
    await Promise.all([generate('a'), generate('b'), generate('c')]);
    // In turns from the first pass that they share on: nobody gets ahead of another by more than a token or two.
    const tail = events.slice(-30);
    for (const name of ['a', 'b', 'c']) expect(tail.filter((event) => event === name).length).toBeGreaterThanOrEqual(8);
  });

  it('wait for no more than two chunks of a prompt that comes meanwhile', async () => {
    const events: string[] = [];
    const long = (TEXTS[7] as string).repeat(10).slice(0, 3500);
    const first = await createSession();
    const second = await createSession();
    const reader = await createSession();
    const generate = async (session: Session, name: string, options: GenerateOptions = {}) => {
      for await (const _ of session.generate(TEXTS[0] as string, { maxTokens: 60, ...options })) {
        events.push(name);
        if (reading === undefined && events.length >= 20) {
          reading = reader.generate(long, { maxTokens: 4, onPrefill: () => events.push('chunk') }).result;
        }
      }
    };
    let reading: Promise<unknown> | undefined;
    await Promise.all([generate(first, 'a'), generate(second, 'b')]);
    await reading;
    for (const name of ['a', 'b']) {
      const from = events.indexOf(name);
      const to = events.lastIndexOf(name);
      let chunks = 0;
      let longest = 0;
      for (const event of events.slice(from, to)) {
        chunks = event === name ? 0 : chunks + Number(event === 'chunk');
        longest = Math.max(longest, chunks);
      }
      expect(longest).toBeLessThanOrEqual(2);
    }
    // They went on while it was read.
    expect(events.slice(events.indexOf('chunk'), events.lastIndexOf('chunk'))).toContain('a');
    expect(events.slice(events.indexOf('chunk'), events.lastIndexOf('chunk'))).toContain('b');
  });

  it('read several prompts in turns', async () => {
    const events: string[] = [];
    const read = async (name: string) => {
      const session = await createSession();
      const onPrefill = () => events.push(name);
      await session.generate((TEXTS[7] as string).repeat(5).slice(0, 1800), { maxTokens: 1, onPrefill }).result;
    };
    await Promise.all([read('a'), read('b')]);
    // The first call says how much is there already; then a chunk of each.
    expect(events.filter((event) => event === 'a')).toHaveLength(5);
    const lastOfA = events.lastIndexOf('a');
    expect(events.slice(0, lastOfA).filter((event) => event === 'b').length).toBeGreaterThanOrEqual(3);
  });

  it('end alone where one is aborted, at any step, and keep what there is', async () => {
    const controller = new AbortController();
    const aborted = await createSession();
    const other = await createSession();
    const generation = aborted.generate(TEXTS[1] as string, { maxTokens: 60, signal: controller.signal });
    const abort = async () => {
      let tokens = 0;
      for await (const _ of generation) if (++tokens === 10) controller.abort();
    };
    const [, result] = await Promise.all([abort(), other.generate(TEXTS[2] as string, { maxTokens: 60 }).result]);
    expect((await generation.result).finishReason).toBe('aborted');
    expect(result.tokens).toHaveLength(60);
    const alone = await createSession();
    expect(result.tokens).toEqual((await alone.generate(TEXTS[2] as string, { maxTokens: 60 }).result).tokens);
    // What the aborted session has read is right: it goes on as a fresh one does.
    const { text } = await aborted.generate(TEXTS[1] as string, { maxTokens: 12 }).result;
    expect(text).toBe((await alone.generate(TEXTS[1] as string, { maxTokens: 12 }).result).text);
  });

  it('are not held up by one whose reader is slow', async () => {
    const slow = await createSession();
    const fast = await createSession();
    const iterator = slow.generate(TEXTS[3] as string, { maxTokens: 30 })[Symbol.asyncIterator]();
    await iterator.next();
    const { tokens } = await fast.generate(TEXTS[4] as string, { maxTokens: 30 }).result;
    expect(tokens).toHaveLength(30);
    await iterator.return();
  });
});
