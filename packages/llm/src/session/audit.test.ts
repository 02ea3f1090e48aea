import { createAttention, emptyReport } from 'keysieve';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AuditedPasses, createAuditor } from './audit.ts';
import { loadModel, type Model } from './load-model.ts';

/** Numbers in (-0.5, 0.5), always the same ones. */
function createNumbers(seed: number) {
  let state = seed;
  return (count: number) =>
    Float32Array.from({ length: count }, () => {
      state = (state * 48_271) % 2_147_483_647;
      return state / 2_147_483_647 - 0.5;
    });
}

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

  it('drafts before a position that is audited, and no further', async () => {
    await using session = await model.createSession({ attention: { policy: 'dense' } });
    const { drafts, tokens, answer } = await session.generate(TEXT, { maxTokens: 40, audit: 3, seed: 1 }).result;
    expect(tokens).toHaveLength(40);
    expect(drafts.accepted).toBeGreaterThan(0);
    expect(answer.audit?.positions).toHaveLength(3);
    expect(answer.audit?.kl.max).toBeLessThan(1e-6);
  });

  it('measures what few keys lose, beside what was reported', async () => {
    const attention = { policy: 'sieve', budget: 'fixed:8' };
    await using session = await model.createSession({ attention, prefill: { policy: 'dense' }, denseFallback: false });
    const plain = await session.generate(TEXT, { maxTokens: 12, promptLookup: false }).result;
    const { text, answer } = await session.generate(TEXT, { maxTokens: 12, audit: 11, promptLookup: false }).result;
    expect(text).toBe(plain.text);
    const { positions, kl, outputError, reportedError } = answer.audit as NonNullable<typeof answer.audit>;
    expect(positions).toHaveLength(11);
    expect(kl.max).toBeGreaterThan(1e-7);
    expect(outputError.mean).toBeGreaterThan(1e-3);
    expect(reportedError.kind).toBe(plain.answer.attention?.kind);
    expect(reportedError.mean).toBeCloseTo(plain.answer.attention?.outputError.mean as number, 2);
  });

  it('measures errors and divergences as they are in float64', async () => {
    const [keyValueHeads, heads, headDim, keys] = [2, 4, 16, 200];
    const numbers = createNumbers(5);
    const [k, v] = [numbers(keys * keyValueHeads * headDim), numbers(keys * keyValueHeads * headDim)];
    const [queries, outputs] = [numbers(heads * headDim), numbers(heads * headDim)];
    const [p, q] = [numbers(50), numbers(50)];
    const shape = { layers: 1, keyValueHeads, heads, headDim, capacity: keys } as const;
    await using attention = await createAttention({ ...shape, precision: 'f32' });
    attention.cache.reserve(keys);
    attention.cache.write(0, 0, k, v);
    attention.cache.commit(keys);

    const auditor = createAuditor(1, () => 0);
    expect(auditor.untilNext(1)).toBe(0);
    await auditor.decode(keys - 1, {
      runDense: async () => p,
      run: async (onAttention) => {
        onAttention({
          modelLayer: 0,
          layer: 0,
          position: keys - 1,
          queries,
          outputs,
          report: emptyReport(),
          attention,
        });
        return { logits: q, report: emptyReport(), attentionMs: 0 };
      },
    });
    const { kl, outputError } = auditor.result() as NonNullable<ReturnType<typeof auditor.result>>;

    const errors = Array.from({ length: heads }, (_, head) => {
      const column = Math.floor(head / (heads / keyValueHeads)) * headDim;
      const rows = Array.from({ length: keys }, (_, key) => key * keyValueHeads * headDim + column);
      const at = (array: Float32Array, i: number) => array[i] as number;
      const dims = Array.from({ length: headDim }, (_, i) => i);
      const scores = rows.map(
        (row) =>
          dims.reduce((sum, i) => sum + at(queries, head * headDim + i) * at(k, row + i), 0) / Math.sqrt(headDim),
      );
      const total = scores.reduce((sum, score) => sum + Math.exp(score), 0);
      const truth = dims.map((i) =>
        rows.reduce((sum, row, key) => sum + (Math.exp(scores[key] as number) / total) * at(v, row + i), 0),
      );
      const difference = truth.map((x, i) => x - at(outputs, head * headDim + i));
      return Math.hypot(...difference) / Math.hypot(...truth);
    });
    expect((outputError.mean * heads) / errors.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 4);
    expect(outputError.max / Math.max(...errors)).toBeCloseTo(1, 4);

    const softmax = (row: Float32Array) => {
      const total = row.reduce((sum, x) => sum + Math.exp(x), 0);
      return Array.from(row, (x) => Math.exp(x) / total);
    };
    const predicted = softmax(q);
    const divergence = softmax(p).reduce((sum, x, i) => sum + x * Math.log(x / (predicted[i] as number)), 0);
    expect(kl.mean).toBeCloseTo(divergence, 6);
  });

  it('draws every position as often as any other, however many are run at a time', async () => {
    const step = { logits: Float32Array.of(0, 1), report: emptyReport(), attentionMs: 0 };
    const passes: AuditedPasses = { runDense: async () => Float32Array.of(0, 1), run: async () => step };
    const counts = new Array(20).fill(0);
    const numbers = createNumbers(1);
    const random = () => (numbers(1)[0] as number) + 0.5;
    for (let round = 0; round < 2000; round++) {
      const auditor = createAuditor(5, random);
      for (let position = 0; position < 20; ) {
        const free = auditor.untilNext(1 + (round % 7));
        if (free > 0) auditor.skip(free);
        else await auditor.decode(position, passes);
        position += Math.max(1, free);
      }
      for (const position of auditor.result()?.positions ?? []) if (position < 20) counts[position]++;
    }
    // 500 each, with a standard deviation of 19.
    for (const count of counts) expect(Math.abs(count - 500)).toBeLessThan(100);
  });

  it('is null where no position was audited', () => {
    expect(createAuditor(3, Math.random).result()).toBeNull();
  });
});
