import { describe, expect, it } from 'vitest';
import { createBench, errorRatio } from '../../test/attention-bench.ts';
import { expectError } from '../../test/errors.ts';
import { createRandom } from '../../test/random.ts';
import { arenaBytesFor } from '../../test/small-arena.ts';
import { createAttention } from '../attention/attention.ts';
import { ENCODINGS } from '../kernels/layout.ts';
import { floatBelow } from '../kernels/rounding.ts';
import { createPolicy, DEFAULT_BUDGET, policyEncodings } from './policy.ts';
import { policyNames } from './registry.ts';

const SHAPE = { layers: 1, keyValueHeads: 2, heads: 4, headDim: 32, capacity: 700 } as const;
/** Seven slabs of the eleven in a region. */
const TWO_REGIONS = { arenaBytes: arenaBytesFor(7, { ...SHAPE, encodings: ENCODINGS, threads: 2 }), threads: 2 };

async function benchOf(seed: number, options = {}) {
  const bench = createBench(await createAttention({ ...SHAPE, encodings: ENCODINGS, ...options }), createRandom(seed));
  bench.append(700);
  return bench;
}

describe('createPolicy', () => {
  it('makes each of the policies there are', () => {
    for (const name of policyNames()) expect(createPolicy({ policy: name }).name).toBe(name);
    expect(createPolicy({ policy: 'topk' })).toMatchObject({
      budget: { name: DEFAULT_BUDGET },
      sparse: { selector: { name: 'oracle' }, tail: { name: 'none' } },
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

  it('certifies by the encoding bounds, position by position', () => {
    const policy = createPolicy({ policy: 'sieve', certify: 0.1 });
    expect(policy.sparse).toMatchObject({ certified: { tailMass: floatBelow(0.1) }, unit: 'group' });
    expect(policy.encodings).toContain('bounds');
    expect(policy.sparse).not.toHaveProperty('selector.blockSampling');
    expect(createPolicy({ policy: 'sieve' }).sparse).toHaveProperty('selector.blockSampling');
    expect(policyEncodings({ policy: 'window' })).toEqual([]);
    expect(policyEncodings({ policy: 'window', certify: 0.1 })).toEqual(['sign', 'bounds']);
  });

  it('refuses a budget that is none', () => {
    expectError('invalid-argument', () => createPolicy({ policy: 'window', budget: 'all' }));
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
