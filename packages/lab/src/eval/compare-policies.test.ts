import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadModel, type Model, type Session } from '@keysieve/llm';
import { type PolicySpec, policyEncodings, policyNames } from 'keysieve';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { registerBaselines } from '../baselines/index.ts';
import { savedOrComputed } from '../results/cell.ts';
import { openSavedResults, type SavedResults } from '../results/saved-results.ts';
import { defaultFiller } from '../tasks/default-filler.ts';
import { type CompareOptions, comparePolicies, type TextEvaluation } from './compare-policies.ts';
import { createTextComputer, textCells } from './text-cells.ts';

await registerBaselines();

const SPECS: PolicySpec[] = [
  { policy: 'sieve', budget: 'fixed:48' },
  { policy: 'window', budget: 'fixed:48' },
  { policy: 'topk', budget: 'fixed:48' },
];
const WHOLE = policyNames().map((policy): PolicySpec => ({ policy, budget: 'fraction:1' }));
const SNAPKV: PolicySpec = { policy: 'snapkv', budget: 'fixed:48' };
const SIEVE: PolicySpec = { policy: 'sieve', budget: 'fixed:256' };

/** Without what a clock has measured. */
const timeless = (result: TextEvaluation): string => JSON.stringify({ ...result, times: null });

describe('the evaluation of a text', () => {
  let model: Model;
  let session: Session;
  let tokens: Int32Array;
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-eval-'));
    model = await loadModel('nano', { precision: 'fp32', threads: 2, context: 1024 });
    session = await model.createSession({
      attention: { policy: 'dense' },
      encodings: [...SPECS, ...WHOLE].flatMap(policyEncodings),
    });
    tokens = model.tokenizer.encode(await defaultFiller()).subarray(0, 600);
  });
  afterAll(async () => {
    await session.dispose();
    await model.dispose();
    await rm(folder, { recursive: true });
  });

  const evaluate = (saved: SavedResults, change: Partial<CompareOptions> = {}) => {
    const options: CompareOptions = {
      run: {},
      tokens: tokens.length,
      evalTokens: 24,
      auditTokens: 6,
      timedSteps: 1,
      seed: 1,
      policies: SPECS,
      prefills: [{ policy: 'dense' }],
      ...change,
    };
    return comparePolicies(options, savedOrComputed(saved, computerOf(options)));
  };
  const computerOf = ({ evalTokens, auditTokens, policies }: CompareOptions) =>
    createTextComputer({
      model,
      session,
      tokens,
      evalTokens,
      auditTokens,
      policies,
      threads: 2,
      signal: new AbortController().signal,
      onProgress() {},
    });
  const inMemory = () => openSavedResults(undefined, {});

  it('is no divergence, and no error, where a policy reads all keys, whichever it is', async () => {
    const { policies, dense } = await evaluate(await inMemory(), { policies: WHOLE });
    for (const { policy, kl, top1, nll, outputError, keysExact } of policies) {
      expect(kl.mean, policy).toBeLessThanOrEqual(1e-6);
      expect(kl.p95, policy).toBeLessThanOrEqual(1e-6);
      expect(top1).toBe(1);
      expect(Math.abs(nll - dense.nll)).toBeLessThan(1e-4);
      expect(outputError.p95, policy).toBeLessThan(1e-4);
      expect(keysExact).toBeGreaterThan(500);
    }
  });

  it('has an error for each layer, and finds that the window misses more than the best keys do', async () => {
    const { policies, dense } = await evaluate(await inMemory());
    const [sieve, window, topk] = policies as [(typeof policies)[0], (typeof policies)[0], (typeof policies)[0]];
    expect(window.kl.mean).toBeGreaterThan(topk.kl.mean);
    expect(window.outputError.mean).toBeGreaterThan(sieve.outputError.mean);
    expect(topk.keysExact).toBe(48);
    expect(sieve.bytesPerKey).toBeGreaterThan(0);
    // Float32 keys and values of 64 numbers.
    expect(dense.bytesPerKey).toBeCloseTo(2 * 64 * 4, 0);
    for (const { layers, outputError, kl } of policies) {
      expect(layers.map(({ layer }) => layer)).toEqual([0, 1, 2, 3, 4, 5]);
      const mean = layers.reduce((sum, layer) => sum + layer.outputError.mean, 0) / layers.length;
      expect(mean).toBeCloseTo(outputError.mean, 10);
      expect(kl.interval[0]).toBeLessThanOrEqual(kl.mean);
      expect(kl.interval[1]).toBeGreaterThanOrEqual(kl.mean);
    }
  });

  it('is the same for the same seed, and after an interruption at any step', async () => {
    // The sieve goes second: what has gone before it must not be seen in what it says of itself.
    const options = { prefills: [{ policy: 'dense' }, SIEVE], policies: SPECS.slice(0, 2).reverse() };
    const whole = await evaluate(await inMemory(), options);
    expect(whole.policies).toHaveLength(4);
    for (const steps of [1, 3, 4]) {
      const path = join(folder, `after-${steps}.jsonl`);
      const opened = await openSavedResults(path, { seed: 1 });
      let left = steps;
      const failing: SavedResults = {
        ...opened,
        async keep(key, value) {
          if (left-- === 0) throw new Error('interrupted');
          await opened.keep(key, value);
        },
      };
      await expect(evaluate(failing, options)).rejects.toThrow('interrupted');
      expect((await readFile(path, 'utf8')).trimEnd().split('\n')).toHaveLength(1 + steps);
      const resumed = await evaluate(await openSavedResults(path, { seed: 1 }), options);
      expect(timeless(resumed)).toBe(timeless(whole));
    }
  });

  it('is the same where every cell is computed in a session of its own, in any order', async () => {
    const options = { prefills: [{ policy: 'dense' }, SIEVE], policies: [...SPECS.slice(0, 2), SNAPKV], timedSteps: 0 };
    const whole = await evaluate(await inMemory(), options);
    expect(whole.times).toBeNull();
    const saved = await inMemory();
    const plan = { run: {}, tokens: tokens.length, evalTokens: 24, ...options };
    for (const cell of textCells(plan).reverse()) {
      if (!('measured' in cell.step)) throw new Error('nothing is timed');
      const { measured, prefill } = cell.step;
      await using alone = await model.createSession({
        attention: { policy: 'dense' },
        encodings: [measured, prefill].flatMap(policyEncodings),
      });
      const compute = createTextComputer({
        model,
        session: alone,
        tokens,
        evalTokens: 24,
        auditTokens: 6,
        policies: [measured],
        threads: 2,
        signal: new AbortController().signal,
        onProgress() {},
      });
      await saved.keep(cell.key, await compute(cell));
    }
    expect(JSON.stringify(await evaluate(saved, options))).toBe(JSON.stringify(whole));
  });

  it('leaves out the larger budgets of a policy that has done', async () => {
    const ladder = [32, 64, 128].map((keys) => ({ policy: 'window', budget: `fixed:${keys}` }));
    const { policies } = await evaluate(await inMemory(), {
      policies: [...ladder, SIEVE],
      shouldContinue: () => false,
    });
    expect(policies.map(({ policy, budget }) => `${policy} ${budget}`)).toEqual(['window fixed:32', 'sieve fixed:256']);
  });
});
