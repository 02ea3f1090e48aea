import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadModel, type Model } from '@keysieve/llm';
import type { LawFile } from 'keysieve';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lawFixture } from '../../test/law-fixture.ts';
import { lawModelOf } from '../law/open-law.ts';
import { openSavedResults } from '../results/saved-results.ts';
import { defaultFiller } from '../tasks/default-filler.ts';
import { type KeysForOptions, measureKeysFor } from './keys-for-lengths.ts';
import { measurePolicy, predictWithFullAttention } from './predictions.ts';
import { readContext } from './reading.ts';

const signal = new AbortController().signal;
const LIMIT = 3e-4;

describe('keys for a divergence', () => {
  let model: Model;
  let law: LawFile;
  let tokens: Int32Array;
  let folder: string;
  const file = (name: string) => join(folder, name);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-keys-for-'));
    model = await loadModel('nano', { precision: 'fp32', threads: 1, context: 1024 });
    tokens = Int32Array.from(model.tokenizer.encode(await defaultFiller())).subarray(0, 700);
    const fixture = lawFixture({ layers: 6, heads: 3 });
    law = { ...fixture, model: await lawModelOf(model) };
  });
  afterAll(async () => {
    await model.dispose();
    await rm(folder, { recursive: true });
  });

  const optionsOf = async (change: Partial<KeysForOptions> = {}): Promise<KeysForOptions> => ({
    model,
    tokens,
    evalTokens: 12,
    lengths: [200, 400, 700],
    policy: 'sieve',
    maxKl: LIMIT,
    law,
    signal,
    session: await model.createSession({ attention: { policy: 'dense' }, encodings: ['int4'] }),
    saved: await openSavedResults(undefined, {}),
    onProgress() {},
    ...change,
  });

  it('are found at every length, hold there, and are found again from what was saved', async () => {
    const saved = await openSavedResults(file('saved.jsonl'), {});
    const options = await optionsOf({ saved });
    await using session = options.session;
    const result = await measureKeysFor(options);
    const { fixed, power, cost, constantSupport } = result;
    expect(result.law?.keys).toHaveLength(3);
    for (const [i, keys] of power.keys.entries()) expect(keys).toBeGreaterThanOrEqual(fixed.keys[i] as number);
    expect(cost.fixed).toBe(Math.max(...fixed.keys));
    expect(constantSupport.policies.map(({ policy }) => policy)).toEqual(['topk', 'sieve']);
    // With 352 of 200 keys, all are read.
    for (const { top1 } of constantSupport.policies) expect(top1[0]).toBe(1);

    const text = { ...options, auditTokens: 0, policies: [] };
    await readContext({ session, attention: { policy: 'dense' }, policies: [], signal }, tokens.subarray(0, 687));
    const reference = await predictWithFullAttention(text);
    const klOf = async (keys: number) => {
      const { kl } = await measurePolicy(text, { policy: 'sieve', budget: `fixed:${keys}` }, reference);
      return kl.reduce((a, b) => a + b, 0) / kl.length;
    };
    expect(await klOf(fixed.keys[2] as number)).toBeLessThanOrEqual(LIMIT);

    const again = await openSavedResults(file('saved.jsonl'), {});
    const nothing = { ...options, saved: again, session: undefined as unknown as typeof session };
    expect(await measureKeysFor(nothing)).toEqual(result);
  });
});
