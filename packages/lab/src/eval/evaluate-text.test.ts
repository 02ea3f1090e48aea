import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadModel, type Model } from '@keysieve/llm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lawFixture } from '../../test/law-fixture.ts';
import { lawModelOf, withLawBudget } from '../law/open-law.ts';
import { textHash } from '../results/text-hash.ts';
import { defaultFiller } from '../tasks/default-filler.ts';
import { evaluateKeysFor } from './evaluate-keys-for.ts';
import { type EvaluateTextOptions, evaluateText } from './evaluate-text.ts';

describe('evaluations of a text', () => {
  let model: Model;
  let folder: string;
  let text: { name: string; content: string };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-evaluate-'));
    model = await loadModel('nano', { precision: 'fp32', threads: 1, context: 1024 });
    text = { name: 'licence', content: await defaultFiller() };
  });
  afterAll(async () => {
    await model.dispose();
    await rm(folder, { recursive: true });
  });

  const evaluate = (options: Partial<EvaluateTextOptions> = {}) =>
    evaluateText({ model, text, tokens: 300, evalTokens: 8, auditTokens: 2, timedSteps: 1, ...options });

  it('say on what they were made, and compare the sieve unless told otherwise', async () => {
    const result = await evaluate({ offset: 20 });
    expect(result).toMatchObject({
      tokens: 300,
      evalTokens: 8,
      auditTokens: 2,
      seed: 1,
      text: { name: 'licence', hash: textHash(text.content), offset: 20 },
      model: { model: model.name, hash: await model.hash(), precision: 'fp32', cachePrecision: 'f32' },
      prefills: [{ policy: 'dense', budget: null }],
    });
    expect(result.policies.map(({ policy, budget }) => [policy, budget])).toEqual([['sieve', 'power:3.5,0.5']]);
    expect(result.suggestion).toBeUndefined();
  });

  it('climb a ladder up to the first budget that meets a target, and suggest it', async () => {
    const result = await evaluate({ target: { kl: 10, by: 'bytes' }, ladder: ['topk', 'window'] });
    expect(result.policies.map(({ policy, budget }) => `${policy} ${budget}`)).toEqual([
      'topk fixed:64',
      'window fixed:64',
    ]);
    expect(result.suggestion?.setting?.policy).toBe('window');
  });

  it('divide budgets by a law', async () => {
    const law = { ...lawFixture({ layers: 6, heads: 3 }), model: await lawModelOf(model) };
    const policies = [withLawBudget({ policy: 'topk', budget: 'mean:64' }, law)];
    const { policies: results } = await evaluate({ policies });
    expect(results[0]).toMatchObject({ policy: 'topk', budget: 'mean:64' });
    expect(Math.abs((results[0]?.keysExact ?? 0) - 64)).toBeLessThan(1.5);
  });

  it('continue from what was saved, and note a line that was cut off', async () => {
    const save = join(folder, 'results.jsonl');
    const policies = [{ policy: 'topk', budget: 'fixed:32' }];
    const first = await evaluate({ save, policies });
    const lines = (await readFile(save, 'utf8')).trimEnd().split('\n');
    await writeFile(save, `${lines.slice(0, -1).join('\n')}\n${lines.at(-1)?.slice(0, 10)}`);
    const notes: string[] = [];
    const again = await evaluate({ save, policies, onNote: (note) => notes.push(note) });
    expect(notes).toEqual([`The last line of ${save} was cut off: that result is computed again.`]);
    expect(again.policies[0]?.kl).toEqual(first.policies[0]?.kl);
  });

  it('tell how far they are, and stop when they are told to', async () => {
    const seen = new Set<string>();
    await evaluate({ onProgress: (what) => seen.add(what) });
    expect([...seen]).toEqual(['reading', 'dense', 'sieve power:3.5,0.5', 'timing']);
    await expect(evaluate({ signal: AbortSignal.abort() })).rejects.toThrow();
  });

  it.for([
    ['more tokens than the text has', { tokens: 1_000_000 }],
    ['an offset past the text', { offset: 1_000_000 }],
    ['nothing before the compared tokens', { evalTokens: 299 }],
    ['an unknown policy', { policies: [{ policy: 'telepathy' }] }],
  ] as const)('refuse %s', async ([, options]) => {
    await expect(evaluate(options)).rejects.toMatchObject({ code: 'invalid-argument' });
  });

  it('count keys, at lengths in any order', async () => {
    const result = await evaluateKeysFor({
      model,
      text,
      lengths: [400, 100],
      evalTokens: 8,
      maxKl: 1e-3,
      policy: 'topk',
    });
    expect(result).toMatchObject({ policy: 'topk', kl: 1e-3, lengths: [100, 400], law: null });
    for (const [i, keys] of result.fixed.keys.entries()) {
      expect(keys).toBeGreaterThan(0);
      expect(keys).toBeLessThanOrEqual([100, 400][i] as number);
    }
    expect(result.text).toEqual({ name: 'licence', hash: textHash(text.content), offset: 0 });
  });

  it.for([
    ['full attention', { policy: 'dense' }],
    ['an unknown policy', { policy: 'telepathy' }],
    ['one length', { lengths: [400, 400] }],
    ['a length within twice the compared tokens', { lengths: [16, 400] }],
    ['a length past the text', { lengths: [400, 9_999_999] }],
  ] as const)('count no keys for %s', async ([, options]) => {
    const base = { model, text, lengths: [100, 400], evalTokens: 8, maxKl: 1e-3 };
    await expect(evaluateKeysFor({ ...base, ...options })).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});
