import { describe, expect, it } from 'vitest';
import { createBench, errorRatio, headRows } from '../../test/attention-bench.ts';
import { expectError } from '../../test/errors.ts';
import { attention64, distance } from '../../test/plain-attention.ts';
import { createRandom } from '../../test/random.ts';
import { arenaBytesFor } from '../../test/small-arena.ts';
import { evictionsOf, sparsePolicyNames } from '../../test/variants.ts';
import { createAttention } from '../attention/attention.ts';
import { parseBudget } from '../budgets/index.ts';
import { ENCODINGS } from '../kernels/layout.ts';
import { createPolicy, DEFAULT_BUDGET, policyEncodings } from './policy.ts';
import { policyNames } from './registry.ts';

const SHAPE = { layers: 1, keyValueHeads: 2, heads: 4, headDim: 32, capacity: 700 } as const;
const SPARSE = sparsePolicyNames();
const BUDGETS = ['fixed:1', 'fixed:3', 'fixed:100', 'fraction:0.3', 'power:3,0.6', 'log:12', 'mass:0.1', 'mass:1'];
/** Seven slabs of the eleven in a region. */
const TWO_REGIONS = { arenaBytes: arenaBytesFor(7, { ...SHAPE, encodings: ENCODINGS, threads: 2 }), threads: 2 };
/** Budgets of all keys. */
const WHOLE = ['fixed:700', 'fraction:1', 'power:1,1', 'log:1e6'];

async function benchOf(seed: number, options = {}) {
  const bench = createBench(await createAttention({ ...SHAPE, encodings: ENCODINGS, ...options }), createRandom(seed));
  bench.append(700);
  return bench;
}

describe('createPolicy', () => {
  it('makes each of the policies there are', () => {
    for (const name of policyNames()) expect(createPolicy({ policy: name }).name).toBe(name);
    expect(createPolicy({ policy: 'topk' })).toMatchObject({
      kind: 'sparse',
      budget: { name: DEFAULT_BUDGET },
      selector: { name: 'oracle' },
      tail: { name: 'none' },
    });
  });

  it.for(['', 'Dense', 'sparse', 'toString', '__proto__', 'oracle'])('knows none called %o', (policy) => {
    const error = expectError('invalid-argument', () => createPolicy({ policy }));
    expect(error.found).toBe(policy);
    for (const name of policyNames()) expect(error.remedy).toContain(name);
  });

  it.for([0, -0.1, 1.1, Number.NaN, Number.POSITIVE_INFINITY])('certifies no share of %d', (certify) => {
    for (const policy of ['dense', 'sieve']) {
      const error = expectError('invalid-argument', () => createPolicy({ policy, certify }));
      expect(error.found).toBe(certify);
    }
  });

  it('certifies by the plane int8, position by position', () => {
    const policy = createPolicy({ policy: 'sieve', certify: 0.1 });
    expect(policy).toMatchObject({ certifier: { selector: { name: 'int8-scan' } } });
    expect(policy).not.toHaveProperty('selector.blockSampling');
    expect(createPolicy({ policy: 'sieve' })).toHaveProperty('selector.blockSampling');
    expect(policyEncodings({ policy: 'window' })).toEqual([]);
    expect(policyEncodings({ policy: 'window', certify: 0.1 })).toEqual(['sign', 'int4', 'int8']);
    expect(policyEncodings({ policy: 'quest', certify: 1 })).toEqual(['sign', 'int4', 'int8', 'minMax']);
  });

  it('keeps a number of keys by evictions, which promise nothing', () => {
    for (const policy of evictionsOf().keys()) {
      expect(createPolicy({ policy })).toMatchObject({ kind: 'evicting', eviction: { name: policy } });
      expect(policyEncodings({ policy })).toEqual([]);
      expectError('invalid-argument', () => createPolicy({ policy, budget: 'mass:0.1' }));
      expectError('invalid-argument', () => createPolicy({ policy, certify: 0.1 }));
    }
  });

  it('refuses a budget that is none', () => {
    expectError('invalid-argument', () => createPolicy({ policy: 'window', budget: 'all' }));
  });
});

describe.for(SPARSE)('the policy %s', (policy) => {
  it('is dense attention where the budget is n', async () => {
    for (const options of [{}, TWO_REGIONS]) {
      const bench = await benchOf(1, options);
      await using attention = bench.attention;
      for (const budget of WHOLE) {
        const queries = bench.queries(20, 2);
        const { outputs, report } = attention.attend({ layer: 0, position: 680, queries, policy: { policy, budget } });
        expect(errorRatio(bench, 0, 680, queries, outputs), budget).toBeLessThan(2);
        expect(report, budget).toMatchObject({
          keysExact: report.keys,
          tailMass: { sum: 0, max: 0 },
          outputError: { sum: 0, max: 0 },
          certificate: 'certified',
        });
      }
    }
  });

  it('reads as many keys as each budget says, and is no further off than it says', async () => {
    const bench = await benchOf(2);
    await using attention = bench.attention;
    const [position, count] = [650, 50];
    for (const budget of BUDGETS) {
      const queries = bench.queries(count, 4);
      const { outputs, report } = attention.attend({ layer: 0, position, queries, policy: { policy, budget } });
      const { keys, tailMass } = parseBudget(budget);
      const most = Array.from({ length: count }, (_, i) => 4 * keys({ n: position + i + 1, layer: 0, head: 0 }));
      const allowed = most.reduce((a, b) => a + b, 0);
      // Of a page that is not full yet there are no codes: its keys, and the sinks, may come on top.
      const codes = policyEncodings({ policy, budget }).length > 0;
      if (codes) expect(report.keysExact, budget).toBeLessThanOrEqual(allowed + 4 * count * 68);
      else if (tailMass === undefined) expect(report.keysExact, budget).toBe(allowed);
      else expect(report.keysExact, budget).toBeLessThanOrEqual(allowed);
      expect(report.rows).toBe(4 * count);
      expect(report.tailMass.max).toBeLessThanOrEqual(1);
      if (tailMass !== undefined && policy === 'topk') expect(report.tailMass.max).toBeLessThanOrEqual(tailMass + 1e-3);
      let worst = 0;
      for (let head = 0; head < SHAPE.heads; head++) {
        const truth = attention64(bench.problem(0, head, position, queries)).outputs;
        const found = headRows(outputs, SHAPE.heads, SHAPE.headDim, head);
        for (let row = 0; row < count; row++) {
          const range = [row * SHAPE.headDim, (row + 1) * SHAPE.headDim] as const;
          const exact = truth.subarray(...range);
          worst = Math.max(worst, distance(found.subarray(...range), exact).norm / Math.hypot(...exact));
        }
      }
      if (report.certificate === 'certified')
        expect(report.outputError.max, budget).toBeGreaterThanOrEqual(worst - 1e-4);
      else expect(policy).toBe('sieve');
    }
  });
});

describe('the policy window', () => {
  it('is attention to the first keys and the last', async () => {
    const bench = await benchOf(3, TWO_REGIONS);
    await using attention = bench.attention;
    expect(attention.cache.regions.length).toBeGreaterThan(1);
    for (const [budget, keys] of [
      ['fixed:1', 1],
      ['fixed:9', 9],
      ['fixed:200', 200],
      ['fixed:650', 650],
    ] as const) {
      const queries = bench.queries(30, 2);
      const policy = { policy: 'window', budget };
      const { outputs } = attention.attend({ layer: 0, position: 660, queries, policy });
      const seen = Array.from({ length: 30 }, (_, i) => {
        const sinks = Math.min(4, Math.floor(keys / 2));
        return Int32Array.from({ length: keys }, (_, at) => (at < sinks ? at : 661 + i - keys + at));
      });
      expect(errorRatio(bench, 0, 660, queries, outputs, seen), budget).toBeLessThan(2);
    }
  });
});

describe('reports', () => {
  it('count rows, keys and bytes', async () => {
    const bench = await benchOf(4);
    await using attention = bench.attention;
    const request = { layer: 0, position: 599, queries: bench.queries(1) };
    const dense = attention.attend({ ...request, policy: { policy: 'dense' } }).report;
    // One pass over the keys and values of each key-value head.
    expect(dense).toMatchObject({ rows: 4, keys: 2400, keysExact: 2400, bytesRead: 600 * 2 * 2 * 64 });
    const window = attention.attend({ ...request, policy: { policy: 'window', budget: 'fixed:50' } }).report;
    // The two heads of a group read the same keys, once.
    expect(window).toMatchObject({ rows: 4, keys: 2400, keysExact: 200, bytesRead: 2 * 50 * 2 * 64 });
    const topk = attention.attend({ ...request, policy: { policy: 'topk', budget: 'fixed:50' } }).report;
    expect(topk).toMatchObject({ rows: 4, keys: 2400, keysExact: 200, bytesRead: 4 * (50 * 2 * 64 + 600 * 64) });
    expect(topk.tailMass.sum).toBeGreaterThan(topk.tailMass.max);
    expect(topk.tailMass.max).toBeLessThan(window.tailMass.max);
  });
});
