import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createBench } from '../../test/attention-bench.ts';
import { expectError } from '../../test/errors.ts';
import { createRandom } from '../../test/random.ts';
import { createAttention } from '../attention/attention.ts';
import { ENCODINGS } from '../kernels/layout.ts';
import { createPolicy } from '../policies/policy.ts';
import { expectKeys } from './budget.conformance.ts';
import { type BudgetPlan, createPlanBudget } from './plan.ts';

/** Two layers of four heads at three lengths; head h of layer l has 100 l + 10 h + 1 keys, twice and four times that. */
const PLAN: BudgetPlan = {
  layers: 2,
  heads: 4,
  lengths: [100, 200, 1000],
  keys: [1, 2, 4].flatMap((factor) =>
    [0, 1].flatMap((layer) => [0, 1, 2, 3].map((head) => factor * (100 * layer + 10 * head + 1))),
  ),
};

const anyPlan = fc
  .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 5 }), fc.uniqueArray(fc.nat(1e6), { minLength: 1 }))
  .chain(([layers, heads, some]) => {
    const lengths = some.map((n) => n + 1).sort((a, b) => a - b);
    const size = layers * heads * lengths.length;
    const keys = fc.array(fc.double({ min: 1, max: 1e7, noNaN: true }), { minLength: size, maxLength: size });
    return keys.map((keys): BudgetPlan => ({ layers, heads, lengths, keys }));
  });

describe('a plan', () => {
  it('gives every head its own keys, between two lengths on a line, and stays where it ends', () => {
    const budget = createPlanBudget('mean:100', PLAN);
    expect(budget.name).toBe('mean:100');
    const keys = (n: number, layer = 1, head = 2) => budget.keys({ n, layer, head });
    expect([keys(150), keys(200), keys(600), keys(1000), keys(9000)]).toEqual([150, 200, 363, 484, 484]);
    expect([keys(300, 0, 0), keys(300, 0, 1), keys(300, 0, 0)]).toEqual([2, 25, 2]);
    // There are no more keys than n.
    expect([keys(50), keys(1), keys(120)]).toEqual([50, 1, 120]);
  });

  it('is a whole number of keys from 1 to n at every length, the same wherever it is opened', () => {
    fc.assert(
      fc.property(anyPlan, (plan) => {
        const [here, there] = [createPlanBudget('mean:9', plan), createPlanBudget('mean:9', structuredClone(plan))];
        const lengths = [1, 2, 77, 3000, 2 ** 31 - 1, ...plan.lengths, ...plan.lengths.map((n) => n + 1)];
        const head = { layer: plan.layers - 1, head: plan.heads - 1 };
        expect(expectKeys(here, head, lengths)).toEqual(expectKeys(there, head, lengths));
        for (const [row, n] of plan.lengths.entries()) {
          const planned = plan.keys[(row + 1) * plan.layers * plan.heads - 1] as number;
          expect(here.keys({ ...head, n })).toBe(Math.min(n, Math.round(planned)));
        }
      }),
      { numRuns: 100, seed: 3 },
    );
  });

  it.for([
    { layers: 0 },
    { heads: 1.5 },
    { lengths: [] },
    { lengths: [100, 100, 1000] },
    { lengths: [0, 200, 1000] },
    { keys: [] },
    { keys: PLAN.keys.slice(1) },
    { keys: PLAN.keys.map((k, i) => (i === 3 ? 0 : k)) },
    { keys: PLAN.keys.map((k, i) => (i === 3 ? Number.NaN : k)) },
  ])('is refused with %o', (wrong) => {
    expectError('invalid-argument', () => createPlanBudget('mean:9', { ...PLAN, ...wrong }));
    expectError('invalid-argument', () =>
      createPolicy({ policy: 'sieve', budget: 'mean:9', plan: { ...PLAN, ...wrong } }),
    );
  });
});

describe('an attention with a plan', () => {
  const shape = { layers: 2, heads: 4, keyValueHeads: 2, headDim: 16, capacity: 1000, encodings: ENCODINGS } as const;
  const spec = (policy: string, plan = PLAN) => ({ policy, budget: 'mean:100', plan });

  it('reads as many keys of each head as it says, and the same on one thread as on three', async () => {
    const outputs: Float32Array[][] = [];
    for (const threads of [1, 3]) {
      const bench = createBench(await createAttention({ ...shape, threads }), createRandom(1));
      await using attention = bench.attention;
      bench.append(700);
      const found = ['topk', 'sieve'].flatMap((policy) =>
        [0, 1].map((layer) => {
          const step = attention.attend({ layer, position: 599, queries: bench.queries(1), policy: spec(policy) });
          if (policy === 'topk') expect(step.report.keysExact).toBe(3 * (400 * layer + 60 + 4));
          return step.outputs;
        }),
      );
      outputs.push(found);
    }
    expect(outputs[0]).toEqual(outputs[1]);
  });

  it('tells two plans of the same name apart', async () => {
    const bench = createBench(await createAttention(shape), createRandom(1));
    await using attention = bench.attention;
    bench.append(300);
    const keysFromFit = (plan: BudgetPlan) =>
      attention.attend({ layer: 0, position: 299, queries: bench.queries(1), policy: spec('topk', plan) }).report
        .keysExact;
    expect(keysFromFit({ ...PLAN, keys: PLAN.keys.map(() => 50) })).toBe(200);
    expect(keysFromFit({ ...PLAN, keys: PLAN.keys.map(() => 60) })).toBe(240);
  });

  it('refuses that of another model', async () => {
    const bench = createBench(await createAttention({ ...shape, heads: 6 }), createRandom(1));
    await using attention = bench.attention;
    bench.append(300);
    const queries = bench.queries(1);
    const error = expectError('invalid-argument', () =>
      attention.attend({ layer: 0, position: 299, queries, policy: spec('topk') }),
    );
    expect(error.found).toContain('6');
  });

  it('falls back to full attention group by group', () => {
    const costs = {
      dense: { fixed: 0, perKey: 1 },
      sieve: { fixed: 50, perKey: 0.1, perSampled: 4 },
      certified: { fixed: 0, perKey: 9, perRead: 9 },
    };
    const isFaster = createPolicy(spec('sieve')).fallbackFor(costs);
    expect(isFaster?.({ n: 3000, layer: 0, head: 0, rows: 2 })).toBe(false);
    expect(isFaster?.({ n: 3000, layer: 1, head: 2, rows: 2 })).toBe(true);
  });
});
