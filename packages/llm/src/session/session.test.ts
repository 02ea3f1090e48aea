import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { PrefillProgress } from './generate-options.ts';
import { loadModel, type Model } from './load-model.ts';

const TEXT = 'The number of amber fox is 48213. '.repeat(12);

const DENSE = { attention: { policy: 'dense' } };

/** Without a flag of Node. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
}

describe('a session', () => {
  let model: Model;

  beforeAll(async () => {
    model = await loadModel('nano', { precision: 'fp32', threads: 2, context: 4096 });
  });
  afterAll(() => model.dispose());

  it('streams the same text that it gives as a whole, and says what it cost', async () => {
    await using session = await model.createSession(DENSE);
    const generation = session.generate(TEXT, { maxTokens: 20 });
    let streamed = '';
    for await (const { text } of generation) streamed += text;
    const result = await generation.result;
    expect(result.text).toBe(streamed);
    expect(result.tokens).toHaveLength(20);
    expect(result.finishReason).toBe('length');
    expect(result.promptTokens).toBe(TEXT.length);
    // The prompt's pass gives the first token, so one pass less decodes.
    expect(result.decodeMs).toHaveLength(19);
    expect(result.answer.attention).toMatchObject({ policy: 'dense', budget: null, kind: 'certified' });
    expect(result.answer.attention?.keysExact.share).toBe(1);
    expect(result.answer.audit).toBeNull();
  });

  it('decodes, reads prompts and evaluates by the sieve, unless told otherwise', async () => {
    await using session = await model.createSession();
    const { prompt, answer } = await session.generate(TEXT, { maxTokens: 3 }).result;
    expect([answer.attention?.policy, prompt.attention.policy]).toEqual(['sieve', 'sieve']);
    await using short = await model.createSession({
      attention: { policy: 'sieve', budget: 'fixed:8' },
      denseFallback: false,
    });
    let keysQuantized = 0;
    for await (const pass of short.evaluate(model.encode(TEXT), { logits: false })) {
      keysQuantized += pass.attention.keysQuantized;
    }
    expect(keysQuantized).toBeGreaterThan(0);
    await using mass = await model.createSession({ attention: { policy: 'int8', budget: 'mass:0.1' } });
    const one = await mass.generate(TEXT, { maxTokens: 1 }).result;
    expect(one.prompt.attention.policy).toBe('dense');
    // The reading of the prompt gives the first token, so there is nothing to say of an answer.
    expect(one.answer.attention).toBeNull();
  });

  it('recalls what it has read', async () => {
    await using session = await model.createSession(DENSE);
    const { text } = await session.generate(`${TEXT}The number of amber fox is `, { maxTokens: 5 }).result;
    expect(text).toBe('48213');
  });

  it('gives the same text for the same seed, and another for another', async () => {
    const generate = async (seed: number) => {
      await using session = await model.createSession(DENSE);
      return (await session.generate(TEXT, { maxTokens: 30, temperature: 1.5, seed, topK: 0, topP: 1 }).result).text;
    };
    expect(await generate(1)).toBe(await generate(1));
    expect(await generate(1)).not.toBe(await generate(2));
  });

  it('reads only what is new in the next turn', async () => {
    await using session = await model.createSession(DENSE);
    const first = await session.generate(TEXT, { maxTokens: 8 }).result;
    const progress: PrefillProgress[] = [];
    const prompt = `${TEXT}${first.text} And so on`;
    const second = await session.generate(prompt, { maxTokens: 8, onPrefill: (p) => progress.push(p) }).result;
    // All but the last generated token are in the cache.
    expect(second.reusedTokens).toBe(TEXT.length + first.tokens.length - 1);
    expect(progress[0]).toEqual({ done: second.reusedTokens, total: second.promptTokens, reused: second.reusedTokens });

    await using fresh = await model.createSession(DENSE);
    expect((await fresh.generate(prompt, { maxTokens: 8 }).result).text).toBe(second.text);
  });

  it('shows the attention of every layer, and undoes a pass that the observer ends', async () => {
    await using session = await model.createSession(DENSE);
    const tokens = Int32Array.from(model.tokenizer.encode(TEXT)).subarray(0, 200);
    const { layers, heads, headDim } = model.config;
    const seen: string[] = [];
    const passes = session.evaluate(tokens, {
      chunkTokens: 128,
      onAttention({ layer, position, queries, outputs, report, attention }) {
        expect(queries.length).toBe(outputs.length);
        expect(report.rows).toBe(queries.length / headDim);
        seen.push(`${layer} at ${position}: ${queries.length / (heads * headDim)}`);
        const policy = { policy: 'dense' };
        expect(attention.attend({ layer, position, queries, policy }).outputs).toEqual(outputs);
      },
    });
    for await (const _ of passes);
    const each = (pass: string) => Array.from({ length: layers }, (_, layer) => `${layer} at ${pass}`);
    expect(seen).toEqual([...each('0: 128'), ...each('128: 72')]);
    const failing = session.evaluate(tokens, {
      onAttention() {
        throw new Error('enough');
      },
    });
    await expect(failing.next()).rejects.toThrow('enough');
    expect((await session.generate(TEXT, { maxTokens: 1 }).result).reusedTokens).toBe(200);
  });

  it('forgets what another prompt does not begin with', async () => {
    await using session = await model.createSession(DENSE);
    await session.generate(`${TEXT}one`, { maxTokens: 4 }).result;
    const other = await session.generate(`${TEXT}two`, { maxTokens: 4 }).result;
    expect(other.reusedTokens).toBe(TEXT.length);
    await using fresh = await model.createSession(DENSE);
    expect((await fresh.generate(`${TEXT}two`, { maxTokens: 4 }).result).text).toBe(other.text);
  });

  it('ends at a stop string, which it leaves out', async () => {
    await using session = await model.createSession(DENSE);
    const whole = await session.generate(TEXT, { maxTokens: 40 }).result;
    const stop = whole.text.slice(9, 13);
    const cut = await session.generate(TEXT, { maxTokens: 40, stop: ['never', stop] }).result;
    expect(cut.finishReason).toBe('stop');
    expect(cut.text).toBe(whole.text.slice(0, whole.text.indexOf(stop)));
  });

  it('gives the log-probabilities of what it chose, and of the likeliest', async () => {
    await using session = await model.createSession(DENSE);
    const chunks = [];
    for await (const chunk of session.generate(TEXT, { maxTokens: 4, logProbabilities: 3 })) chunks.push(chunk);
    expect(chunks).toHaveLength(4);
    for (const { token, probabilities } of chunks) {
      expect(probabilities?.top).toHaveLength(3);
      // Greedy, so the chosen token is the likeliest.
      expect(probabilities?.top[0]).toEqual({ token, logProbability: probabilities?.logProbability });
      expect(probabilities?.token).toBe(token);
    }
    for await (const { probabilities } of session.generate(TEXT, { maxTokens: 1 }))
      expect(probabilities).toBeUndefined();
  });

  it('writes nothing that a constraint forbids', async () => {
    await using session = await model.createSession(DENSE);
    const accepted: number[] = [];
    const constraint = {
      mask(logits: Float32Array) {
        for (let id = 0; id < logits.length; id++) if (id < 97 || id > 99) logits[id] = Number.NEGATIVE_INFINITY;
      },
      accept: (token: number) => accepted.push(token),
    };
    const { text, tokens } = await session.generate(TEXT, { maxTokens: 12, constraint }).result;
    expect(text).toMatch(/^[abc]{12}$/);
    expect(accepted).toEqual(tokens);
  });

  it.each(['window', 'topk'])('attends by %s, and with all keys as densely as dense', async (policy) => {
    await using dense = await model.createSession(DENSE);
    await using sparse = await model.createSession({ attention: { policy, budget: 'fraction:1' } });
    const expected = await dense.generate(TEXT, { maxTokens: 16 }).result;
    const result = await sparse.generate(TEXT, { maxTokens: 16 }).result;
    expect(result.text).toBe(expected.text);
    expect(result.answer.attention?.tailMass.max).toBe(0);

    await using sparse40 = await model.createSession({ attention: { policy, budget: 'fixed:40' } });
    const cheap = await sparse40.generate(TEXT, { maxTokens: 16 }).result;
    expect(cheap.answer.attention?.keysExact.mean).toBe(40);
    expect(cheap.answer.attention?.tailMass.max).toBeGreaterThan(0);
    expect(cheap.answer.attention?.bytesPerToken).toBeGreaterThan(0);
  });

  describe('after bad input is as it was before', () => {
    const expectUsable = async (session: Awaited<ReturnType<Model['createSession']>>) => {
      await using fresh = await model.createSession(DENSE);
      const expected = await fresh.generate(TEXT, { maxTokens: 4 }).result;
      expect((await session.generate(TEXT, { maxTokens: 4 }).result).text).toBe(expected.text);
    };

    it('an empty prompt', async () => {
      await using session = await model.createSession(DENSE);
      for (const prompt of ['', new Int32Array(0), []]) {
        await expect(session.generate(prompt).result).rejects.toMatchObject({ code: 'prompt-empty' });
      }
      await expectUsable(session);
    });

    it('a prompt longer than the context', async () => {
      await using session = await model.createSession(DENSE);
      await session.generate(TEXT, { maxTokens: 1 }).result;
      const before = session.tokens.length;
      await expect(session.generate('x'.repeat(4097)).result).rejects.toMatchObject({
        code: 'prompt-too-long',
        found: 'a prompt of 4097 tokens',
      });
      expect(session.tokens.length).toBe(before);
      await expectUsable(session);
    });

    it('tokens that the vocabulary does not have', async () => {
      await using session = await model.createSession(DENSE);
      await expect(session.generate(Int32Array.of(1, 1_000_000)).result).rejects.toMatchObject({
        code: 'invalid-argument',
      });
      expect(session.tokens).toHaveLength(0);
      await expectUsable(session);
    });

    it('an abort while the prompt is read', async () => {
      await using session = await model.createSession(DENSE);
      const controller = new AbortController();
      const long = TEXT.repeat(4);
      const onPrefill = ({ done }: PrefillProgress) => {
        if (done >= 512) controller.abort();
      };
      const generation = session.generate(long, { signal: controller.signal, onPrefill });
      const result = await generation.result;
      expect(result).toMatchObject({ finishReason: 'aborted', text: '', tokens: [], decodeMs: [], reusedTokens: 0 });
      expect(result.promptTokens).toBe(model.encode(long).length);
      expect(result.prefillMs).toBeGreaterThan(0);
      expect(result.prompt.attention.keysExact.share).toBe(1);
      // The chunks that were read are kept, and are not read again.
      expect(session.tokens.length).toBe(512);
      const resumed = await session.generate(long, { maxTokens: 4 }).result;
      expect(resumed.reusedTokens).toBe(512);
      await expectUsable(session);
    });

    it.each([512, 1024])('an abort while the sieve reads the prompt, behind %d tokens', async (at) => {
      const sieve = { policy: 'sieve', budget: 'fixed:64' };
      const options = { attention: sieve, prefill: sieve, denseFallback: false };
      const words = Array.from({ length: 400 }, (_, i) => `${(i * 7919) % 1000} `).join('');
      const prompt = `${TEXT}${words}`.slice(0, 1300);
      await using fresh = await model.createSession(options);
      const { tokens } = await fresh.generate(prompt, { maxTokens: 12 }).result;
      await using session = await model.createSession(options);
      const controller = new AbortController();
      const onPrefill = ({ done }: PrefillProgress) => {
        // Within the next chunk, too: what its first layers have shown must be forgotten.
        if (done === at) setTimeout(() => controller.abort(), at === 512 ? 0 : 5);
      };
      await session.generate(prompt, { signal: controller.signal, onPrefill }).result;
      expect((await session.generate(prompt, { maxTokens: 12 }).result).tokens).toEqual(tokens);
    });

    it('an abort while it decodes', async () => {
      await using session = await model.createSession(DENSE);
      const controller = new AbortController();
      const generation = session.generate(TEXT, { signal: controller.signal, maxTokens: 100 });
      const texts: string[] = [];
      for await (const { text } of generation) {
        texts.push(text);
        if (texts.length === 5) controller.abort();
      }
      const result = await generation.result;
      expect(result).toMatchObject({ finishReason: 'aborted', text: texts.join('') });
      expect([result.tokens.length, result.decodeMs.length]).toEqual([5, 4]);
      expect(result.answer.attention?.keysExact.mean).toBeGreaterThan(0);
      await expectUsable(session);
    });

    it('a signal that was aborted before', async () => {
      await using session = await model.createSession(DENSE);
      const generation = session.generate(TEXT, { signal: AbortSignal.abort() });
      expect(await generation.result).toMatchObject({ finishReason: 'aborted', text: '', tokens: [] });
      for await (const _ of session.generate(TEXT, { signal: AbortSignal.abort() })) throw new Error('a chunk');
      await expectUsable(session);
    });

    it('a cache that is out of memory', async () => {
      await using session = await model.createSession({ memoryLimit: 4 * 2 ** 20 });
      await session.generate(TEXT, { maxTokens: 1 }).result;
      const before = [...session.tokens];
      const long = TEXT.repeat(9);
      await expect(session.generate(long).result).rejects.toMatchObject({ code: 'cache-out-of-memory' });
      expect(session.tokens.slice(0, before.length)).toEqual(before);
      await expectUsable(session);
    });

    it('two answers at once', async () => {
      await using session = await model.createSession(DENSE);
      const first = session.generate(TEXT, { maxTokens: 10 });
      const result = first.result;
      await expect(session.generate(TEXT).result).rejects.toMatchObject({ code: 'session-busy' });
      expect((await result).tokens).toHaveLength(10);
      await expectUsable(session);
    });

    it('an answer that is left early', async () => {
      await using session = await model.createSession(DENSE);
      const generation = session.generate(TEXT);
      for await (const _ of generation) break;
      expect(await generation.result).toMatchObject({ finishReason: 'aborted', tokens: [expect.any(Number)] });
      await expectUsable(session);
    });

    it('an answer that is iterated twice', async () => {
      await using session = await model.createSession(DENSE);
      const generation = session.generate(TEXT, { maxTokens: 3 });
      for await (const _ of generation) {
        expect(() => generation[Symbol.asyncIterator]()).toThrow(expect.objectContaining({ code: 'generation-used' }));
      }
      expect((await generation.result).tokens).toHaveLength(3);
      await expectUsable(session);
    });

    it('an answer that is begun and forgotten', async () => {
      await using session = await model.createSession(DENSE);
      await (() => session.generate(TEXT)[Symbol.asyncIterator]().next())();
      await expect(session.generate(TEXT).result).rejects.toMatchObject({ code: 'session-busy' });
      await vi.waitFor(
        async () => {
          collectGarbage();
          await expectUsable(session);
        },
        { timeout: 60_000, interval: 50 },
      );
    });

    it('an attempt to cut it while it answers or evaluates', async () => {
      await using session = await model.createSession(DENSE);
      const undisturbed = (await session.generate(TEXT, { maxTokens: 6 }).result).text;
      const busy = expect.objectContaining({ code: 'session-busy' });
      let text = '';
      for await (const chunk of session.generate(TEXT, { maxTokens: 6 })) {
        expect(() => session.truncate(4)).toThrow(busy);
        text += chunk.text;
      }
      expect(text).toBe(undisturbed);
      const onPrefill = () => expect(() => session.truncate(0)).toThrow(busy);
      await session.generate(TEXT.repeat(4), { maxTokens: 1, onPrefill }).result;
      session.truncate(0);
      for await (const _ of session.evaluate(model.encode(TEXT))) expect(() => session.truncate(0)).toThrow(busy);
      await expectUsable(session);
    });
  });

  it('refuses options that make no sense', async () => {
    await using session = await model.createSession(DENSE);
    expect(() => session.generate('x', { maxTokens: -1 })).toThrow(
      expect.objectContaining({ code: 'invalid-argument' }),
    );
    expect(() => session.generate('x', { topP: 2 })).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
    await expect(model.createSession({ attention: { policy: 'psychic' } })).rejects.toMatchObject({
      code: 'invalid-argument',
    });
    await expect(model.createSession({ attention: { policy: 'topk', budget: 'fixed:none' } })).rejects.toMatchObject({
      code: 'invalid-argument',
    });
  });

  it('says which tokens it reads of a prompt', async () => {
    await using session = await model.createSession(DENSE);
    await session.generate(TEXT, { maxTokens: 1 }).result;
    expect([...model.encode(TEXT)]).toEqual(session.tokens);
    expect(() => model.encode('')).toThrow(expect.objectContaining({ code: 'prompt-empty' }));
  });

  it('says that nano has no chat template', async () => {
    await using session = await model.createSession(DENSE);
    const chat = [{ role: 'user', content: 'Hello' }];
    expect(() => model.encode(chat)).toThrow(expect.objectContaining({ code: 'chat-template-missing' }));
    await expect(session.generate(chat).result).rejects.toMatchObject({ code: 'chat-template-missing' });
  });

  it('ends at the end of the context', async () => {
    await using session = await model.createSession(DENSE);
    const { finishReason, tokens } = await session.generate('y'.repeat(4090), { maxTokens: 50 }).result;
    expect(finishReason).toBe('context');
    // Six more fit, and one that follows on the last of them.
    expect(tokens).toHaveLength(7);
  });

  it('can be disposed of twice, and is then of no use', async () => {
    const session = await model.createSession(DENSE);
    await session.dispose();
    await session.dispose();
    await expect(session.generate(TEXT).result).rejects.toMatchObject({ code: 'disposed' });
  });
});
