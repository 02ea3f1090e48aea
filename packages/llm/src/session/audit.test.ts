import { emptyReport } from 'keysieve';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AuditedPasses, createAuditor } from './audit.ts';
import { loadModel, type Model } from './load-model.ts';

const TEXT = Array.from({ length: 24 }, (_, i) => `The number of grey heron ${i} is ${(i * 7919) % 10_000}. `).join('');

describe('an audit of an answer', () => {
  let model: Model;

  beforeAll(async () => {
    model = await loadModel('nano', { precision: 'fp32', threads: 1 });
  });
  afterAll(() => model.dispose());

  it('leaves the answer as it is, and finds no error where every key was read', async () => {
    await using session = await model.createSession({ attention: { policy: 'dense' } });
    const plain = await session.generate(TEXT, { maxTokens: 12, promptLookup: false }).result;
    const { text, answer } = await session.generate(TEXT, { maxTokens: 12, audit: 4 }).result;
    expect(text).toBe(plain.text);
    expect(answer.audit).toMatchObject({ kind: 'measured', agreement: 1, outputError: { mean: 0, max: 0 } });
    expect(answer.audit?.kl.max).toBeLessThan(1e-6);
    expect(answer.audit?.positions).toHaveLength(4);
    expect(answer.audit?.passes).toBeGreaterThanOrEqual(4);
  });

  it('measures what few keys lose, beside what was estimated', async () => {
    const attention = { policy: 'sieve', budget: 'fixed:8' };
    await using session = await model.createSession({ attention, prefill: { policy: 'dense' }, denseFallback: false });
    const plain = await session.generate(TEXT, { maxTokens: 12, promptLookup: false }).result;
    const { text, answer } = await session.generate(TEXT, { maxTokens: 12, audit: 6 }).result;
    expect(text).toBe(plain.text);
    const { kl, outputError, reportedError } = answer.audit as NonNullable<typeof answer.audit>;
    expect(kl.max).toBeGreaterThan(1e-7);
    expect(outputError.mean).toBeGreaterThan(1e-3);
    expect(outputError.mean).toBeLessThan(2 * (reportedError as number));
  });

  it('draws every position as often as any other', async () => {
    const step = { logits: Float32Array.of(0, 1), report: emptyReport(), attentionMs: 0 };
    const passes: AuditedPasses = { runDense: async () => Float32Array.of(0, 1), run: async () => step };
    const counts = new Array(20).fill(0);
    let state = 1;
    const random = () => {
      state = (state * 48_271) % 2_147_483_647;
      return state / 2_147_483_647;
    };
    for (let round = 0; round < 2000; round++) {
      const auditor = createAuditor(5, random);
      for (let position = 0; position < 20; position++) await auditor.decode(position, passes);
      for (const position of auditor.result()?.positions ?? []) counts[position]++;
    }
    // 500 each, with a standard deviation of 19.
    for (const count of counts) expect(Math.abs(count - 500)).toBeLessThan(100);
  });

  it('is null where no position was audited', () => {
    expect(createAuditor(3, Math.random).result()).toBeNull();
  });
});
