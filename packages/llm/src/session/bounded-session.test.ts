import { describe, expect, it } from 'vitest';
import { loadModel } from './load-model.ts';

const CONTEXT = 1024;
const tokensOf = (count: number) => Int32Array.from({ length: count }, (_, i) => 32 + ((i * i) % 90));

describe('a session in bounded memory', () => {
  it('predicts what a session predicts, where every key is kept', async () => {
    await using model = await loadModel('nano', { precision: 'fp32', threads: 1, context: CONTEXT });
    await using bounded = await model.createBoundedSession({ attention: { policy: 'remains', budget: 'fixed:1024' } });
    await using session = await model.createSession({ attention: { policy: 'dense' } });
    const tokens = tokensOf(600);
    const progress: number[] = [];
    const { logits, report } = await bounded.read(tokens, { onProgress: (done) => progress.push(done) });
    let expected: Float32Array | undefined;
    const vocabulary = model.config.vocabularySize;
    for await (const step of session.evaluate(tokens)) expected = step.logits.slice(-vocabulary);
    for (const [i, x] of logits.entries()) expect(x).toBeCloseTo(expected?.[i] as number, 1);
    expect(progress).toEqual([256, 512, 600]);
    expect(bounded.length).toBe(600);
    expect(report.keysExact).toBe(report.keys);
  });

  it('reads on behind what it has read, in any pieces, and after an abort', async () => {
    await using model = await loadModel('nano', { precision: 'fp32', threads: 1, context: CONTEXT });
    const attention = { policy: 'remains', budget: 'fixed:100' };
    await using whole = await model.createBoundedSession({ attention });
    await using pieces = await model.createBoundedSession({ attention });
    const tokens = tokensOf(700);
    const { logits, report } = await whole.read(tokens);
    expect(report.certificate).toBe('estimated');
    expect(report.keysExact).toBeLessThan(report.keys);
    await pieces.read(tokens.subarray(0, 300));
    const aborted = AbortSignal.abort();
    await expect(pieces.read(tokens.subarray(300), { signal: aborted })).rejects.toMatchObject({ code: 'aborted' });
    expect(pieces.length).toBe(300);
    await using fork = await pieces.fork();
    const reading = pieces.read(tokens.subarray(300));
    await expect(pieces.fork()).rejects.toMatchObject({ code: 'session-busy' });
    await expect(pieces.read(tokens)).rejects.toMatchObject({ code: 'session-busy' });
    const rest = (await reading).logits;
    for (const [i, x] of rest.entries()) expect(x).toBeCloseTo(logits[i] as number, 1);
    expect((await fork.read(tokens.subarray(300))).logits).toEqual(rest);
    await expect(pieces.read(new Int32Array(0))).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(pieces.read(tokensOf(600))).rejects.toMatchObject({ code: 'prompt-too-long' });
  });
});

describe('a session with the policy remains', () => {
  it('answers, says what is gone, goes on in forks, and cannot be saved', async () => {
    await using model = await loadModel('nano', { precision: 'fp32', threads: 1, context: CONTEXT });
    await using session = await model.createSession({ attention: { policy: 'remains', budget: 'fixed:60' } });
    const prompt = 'The number of amber fox is 48213. The keeper rose before dawn to trim the lamp. '.repeat(9);
    const { tokens, answer } = await session.generate(prompt, { maxTokens: 4, temperature: 0 }).result;
    expect(answer.attention).toMatchObject({ policy: 'remains', kind: 'estimated', outputError: { mean: null } });
    const { goneAtLeast = 0, tailMass } = answer.attention ?? {};
    expect(goneAtLeast).toBeGreaterThan(0);
    expect(goneAtLeast).toBeLessThanOrEqual(tailMass?.mean as number);
    await using fork = session.fork();
    expect((await fork.generate(prompt, { maxTokens: 4, temperature: 0 }).result).tokens).toEqual(tokens);
    await expect(session.save('no-such-folder/session')).rejects.toMatchObject({ code: 'snapshot-unsupported' });
  });
});
