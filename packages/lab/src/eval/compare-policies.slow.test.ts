/** The evaluation of a real model, against reference figures of the same GGUF file (../shared/goldens). */
import { readFile } from 'node:fs/promises';
import { loadModel } from '@keysieve/llm';
import { type PolicySpec, policyEncodings } from 'keysieve';
import { describe, expect, it } from 'vitest';
import { openSafetensors } from '../../../llm/test/safetensors.ts';
import { sharedFile } from '../../../llm/test/shared.ts';
import { registerBaselines } from '../baselines/index.ts';
import { mean } from '../numerics/statistics.ts';
import { savedOrComputed } from '../results/cell.ts';
import { openSavedResults } from '../results/saved-results.ts';
import { comparePolicies } from './compare-policies.ts';
import { createTextComputer } from './text-cells.ts';

await registerBaselines();

const MODEL = sharedFile('models/smollm2-135m/smollm2-135m-instruct-q4_1.gguf');
const LOGITS = sharedFile('goldens/smollm2-135m/logits.safetensors');
const TEXT = sharedFile('texts/war-and-peace.txt');

/** Characters before the text of the reference. */
const BEGIN = 5000;
const TOKENS = 2048;
const LAST = 128;

describe.skipIf(!MODEL || !LOGITS || !TEXT)('SmolLM2-135M', () => {
  it('has the nll of the reference by dense attention, and by policies that read all keys', async () => {
    await using model = await loadModel(MODEL as string, { precision: 'fp32', threads: 2 });
    const goldens = await openSafetensors(LOGITS as string);
    const text = (await readFile(TEXT as string, 'utf8')).slice(BEGIN, BEGIN + 8 * TOKENS);
    const tokens = model.tokenizer.encode(text);
    expect([...tokens.subarray(0, TOKENS)]).toEqual([...goldens.i32('ids').subarray(0, TOKENS)]);
    const whole = ['sieve', 'quest', 'snapkv'].map((policy): PolicySpec => ({ policy, budget: 'fraction:1' }));
    const policies: PolicySpec[] = [...whole, { policy: 'sieve', budget: 'fixed:256' }];
    await using session = await model.createSession({
      attention: { policy: 'dense' },
      encodings: policies.flatMap(policyEncodings),
    });
    const plan = { run: {}, tokens: TOKENS, evalTokens: LAST, auditTokens: 4, timedSteps: 1, seed: 1, policies };
    const compute = createTextComputer({
      ...plan,
      model,
      session,
      tokens: tokens.subarray(0, TOKENS),
      threads: 2,
      signal: new AbortController().signal,
      onProgress() {},
    });
    const saved = await openSavedResults(undefined, {});
    const result = await comparePolicies({ ...plan, prefills: [{ policy: 'dense' }] }, savedOrComputed(saved, compute));
    // The prediction of a token is made by the one before it.
    const expected = mean([...goldens.f32('nll').subarray(TOKENS - LAST - 1, TOKENS - 1)]);
    expect(Math.abs(result.dense.nll - expected)).toBeLessThan(1e-3);
    for (const { policy, kl, top1 } of result.policies.slice(0, whole.length)) {
      expect(kl.mean, policy).toBeLessThanOrEqual(1e-6);
      expect(top1, policy).toBe(1);
    }
    const sieve = result.policies.at(-1);
    expect(sieve?.kl.mean).toBeGreaterThan(1e-5);
    expect(sieve?.kl.mean).toBeLessThan(0.05);
  });
});
