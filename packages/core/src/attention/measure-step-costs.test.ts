import { describe, expect, it } from 'vitest';
import { createBench } from '../../test/attention-bench.ts';
import { createRandom } from '../../test/random.ts';
import { ENCODINGS } from '../kernels/layout.ts';
import { createPolicy } from '../policies/policy.ts';
import { fullIsFasterThanSieve, type StepCosts } from '../policies/step-costs.ts';
import { createAttention } from './attention.ts';
import { fullAttentionBelow } from './full-attention-below.ts';
import { fitCosts, measureStepCosts } from './measure-step-costs.ts';

/**
 * A machine where a key of the sample costs four keys of dense attention, and a scanned key a tenth; bounds are dearer
 * than reading below 2,000 keys.
 */
const COSTS: StepCosts = {
  dense: { fixed: 0, perKey: 1 },
  sieve: { fixed: 50, perKey: 0.1, perSampled: 4 },
  certified: { fixed: 1000, perKey: 0.5, perRead: 0.1 },
};

describe('the dense fallback', () => {
  it('is dense where that is faster: below the length where the lines cross', () => {
    // n = 50 + .1 n + 4 m, with m = 400: n = 1,834.
    expect(fullIsFasterThanSieve(COSTS, 1800, 400)).toBe(true);
    expect(fullIsFasterThanSieve(COSTS, 1900, 400)).toBe(false);
    expect(fullIsFasterThanSieve(COSTS, 1900, 1000)).toBe(true);
  });

  it('counts the rows that had full attention, and gives what full attention gives', async () => {
    const shape = { layers: 1, keyValueHeads: 2, heads: 6, headDim: 32, capacity: 3000, encodings: ENCODINGS } as const;
    for (const threads of [1, 2]) {
      const bench = createBench(await createAttention({ ...shape, threads, costs: COSTS }), createRandom(1));
      bench.append(2600);
      await using attention = bench.attention;
      const queries = bench.queries(1);
      const policy = { policy: 'sieve', budget: 'fixed:100' };
      const short = attention.attend({ layer: 0, position: 1300, queries, policy });
      expect(short.report).toMatchObject({ rowsFull: 6, keysExact: 6 * 1301, certificate: 'certified' });
      const dense = attention.attend({ layer: 0, position: 1300, queries, policy: { policy: 'dense' } });
      for (const [i, x] of short.outputs.entries())
        expect(Math.abs(x - (dense.outputs[i] as number))).toBeLessThan(1e-5);
      const long = attention.attend({ layer: 0, position: 2500, queries, policy });
      expect(long.report).toMatchObject({ rowsFull: 0, certificate: 'estimated' });
    }
  });

  it('reads every key for a certificate where its bounds would cost more, for all queries of a prompt at once', async () => {
    const policy = { policy: 'sieve', budget: 'fixed:100', certify: 0.1 };
    const isFaster = createPolicy(policy).fallbackFor(COSTS);
    expect([1999, 2001].map((n) => isFaster?.({ n, layer: 0, head: 0, rows: 3 }))).toEqual([true, false]);
    const shape = { layers: 1, keyValueHeads: 2, heads: 6, headDim: 32, capacity: 3000, encodings: ENCODINGS } as const;
    const bench = createBench(await createAttention({ ...shape, costs: COSTS }), createRandom(1));
    bench.append(2600);
    await using attention = bench.attention;
    const queries = bench.queries(20);
    const short = attention.attend({ layer: 0, position: 1300, queries, policy, shareSamples: true });
    expect(short.report).toMatchObject({ rowsFull: 120, certificate: 'certified' });
    expect(short.report.outputError.max).toBe(0);
    const dense = attention.attend({ layer: 0, position: 1300, queries, policy: { policy: 'dense' } });
    expect(short.outputs).toEqual(dense.outputs);
    const long = attention.attend({ layer: 0, position: 2580, queries, policy });
    expect(long.report.rowsFull).toBeLessThan(120);
    expect(long.report).toMatchObject({ certificate: 'certified' });
    expect(long.report.tailMass.max).toBeLessThanOrEqual(0.1);
  });

  it('says from how many keys on the policy is faster, in whole pages', () => {
    const heads = { layers: 2, heads: 6, keyValueHeads: 2 };
    const policy = createPolicy({ policy: 'sieve', budget: 'fixed:100' });
    expect(fullAttentionBelow(policy, COSTS, 10_000, heads)).toBe(Math.ceil((50 + 4 * 300) / 0.9 / 64) * 64);
    expect(fullAttentionBelow(policy, COSTS, 1000, heads)).toBeUndefined();
    expect(fullAttentionBelow(createPolicy({ policy: 'dense' }), COSTS, 10_000, heads)).toBeUndefined();
    // One head of the last group has so few keys, all others more.
    const plan = {
      layers: 2,
      heads: 6,
      lengths: [64],
      keys: Array.from({ length: 12 }, (_, i) => (i < 9 ? 500 : 100)),
    };
    const planned = createPolicy({ policy: 'sieve', plan });
    expect(fullAttentionBelow(planned, COSTS, 10_000, heads)).toBe(fullAttentionBelow(policy, COSTS, 10_000, heads));
  });

  it('takes costs that grow with the keys from times that do, and none below 0 from others', () => {
    const dense = { short: 2, long: 5 };
    const certified = {
      short: { time: 3, reads: 100 },
      long: { time: 9, reads: 300 },
      flat: { time: 19, reads: 2300 },
    };
    const costs = fitCosts({ dense, sieve: { short: 1, long: 2, large: 4 }, certified });
    const steps = 4096 - 1024;
    expect(costs.dense.perKey).toBeCloseTo(3 / steps, 9);
    expect(costs.dense.fixed).toBeCloseTo(1, 9);
    // 10 for 2,000 reads; without those of their own 2.5 and 7.5.
    expect(costs.certified.perRead).toBeCloseTo(0.005, 9);
    expect(costs.certified.perKey).toBeCloseTo(5 / steps, 9);
    expect(costs.certified.fixed).toBeCloseTo(7.5 - (5 * 4096) / steps, 9);
    expect(costs.sieve.perKey).toBeCloseTo(1 / steps, 9);
    expect(costs.sieve.perSampled).toBeGreaterThan(0);
    const disturbed = fitCosts({ dense: { short: 5, long: 2 }, sieve: { short: 3, long: 2, large: 1 }, certified });
    expect(disturbed.dense).toEqual({ fixed: 2, perKey: 0 });
    expect(disturbed.sieve).toEqual({ fixed: 2, perKey: 0, perSampled: 0 });
  });

  it('measures what steps cost, once for a shape', async () => {
    const shape = { headDim: 64, heads: 6, keyValueHeads: 2, precision: 'f16', threads: 2 } as const;
    const costs = await measureStepCosts(shape);
    expect(costs.dense.perKey).toBeGreaterThan(0);
    for (const { fixed, ...rates } of [costs.dense, costs.sieve, costs.certified]) {
      const numbers = [fixed, ...Object.values(rates)];
      for (const x of numbers) expect(Number.isFinite(x) && x >= 0).toBe(true);
      // Which of them is above 0 is for the machine to say, which may have other work.
      expect(Math.max(...numbers)).toBeGreaterThan(0);
    }
    expect(await measureStepCosts(shape)).toBe(costs);
  });
});
