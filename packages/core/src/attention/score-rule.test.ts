import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { createBench, errorRatio, headRows } from '../../test/attention-bench.ts';
import { expectError } from '../../test/errors.ts';
import { attention64, distance } from '../../test/plain-attention.ts';
import { createRandom } from '../../test/random.ts';
import { arenaBytesFor } from '../../test/small-arena.ts';
import { ENCODINGS, PAGE_KEYS } from '../kernels/layout.ts';
import { createPolicy } from '../policies/policy.ts';
import { policyNames } from '../policies/registry.ts';
import { type Attention, type AttentionOptions, createAttention } from './attention.ts';
import type { ScoreRule } from './score-rule.ts';

const SHAPE = { layers: 2, keyValueHeads: 2, heads: 6, headDim: 32, capacity: 3000, encodings: ENCODINGS } as const;
const WIDTH = SHAPE.heads * SHAPE.headDim;
const SIEVE = { policy: 'sieve' } as const;

const open: Attention[] = [];

async function benchOf(seed: number, rule: ScoreRule, options: Partial<AttentionOptions> = {}) {
  const attention = await createAttention({ ...SHAPE, ...rule, ...options });
  open.push(attention);
  return createBench(attention, createRandom(seed), rule);
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((attention) => attention.dispose()));
});

/** Sinks below, among and far above the scores. */
const SINKS = [
  [-3, 0, 1.5, 4, 30, 0.25],
  [2, -40, 0, 3, 1, 5],
];

const RULES: Record<string, ScoreRule> = {
  'a window of 100 keys': { window: 100 },
  'a window of one key': { window: 1 },
  'a soft cap': { softCap: 2 },
  sinks: { sinks: SINKS },
  'all of them': { window: 200, softCap: 5, sinks: SINKS },
};

describe.for(Object.entries(RULES))('with %s', ([, rule]) => {
  it.for([
    ['one thread', {}],
    ['two threads, in f32', { threads: 2, precision: 'f32' }],
    ['two threads and several regions', { threads: 2, arenaBytes: arenaBytesFor(2, { ...SHAPE, threads: 2 }) }],
    ['int8', { precision: 'int8' }],
  ] as [string, Partial<AttentionOptions>][])('full attention is as near as plain float32: %s', async ([, options]) => {
    const bench = await benchOf(1, rule, options);
    const { cache } = bench.attention;
    // Of what a window forgets, nothing can be read back: so int8 is compared where it forgets nothing.
    const sizes = options.precision === 'int8' && rule.window !== undefined ? [1] : [70, 1, 200, 500, 1, 1];
    for (const count of sizes) {
      bench.append(count);
      const position = Math.max(cache.length - count, cache.minLength);
      const queries = bench.queries(cache.length - position, 3);
      for (const layer of [0, 1]) {
        const request = { layer, position, queries, policy: { policy: 'dense' } };
        const { outputs, report } = bench.attention.attend(request);
        expect(errorRatio(bench, layer, position, queries, outputs), `${position}`).toBeLessThan(2);
        const rows = queries.length / SHAPE.headDim;
        expect(report).toMatchObject({ rows, rowsFull: rows, keysExact: report.keys });
        expect(report.rowsWindowed).toBe(rule.window === undefined ? 0 : rows);
      }
    }
  });
});

describe('a window', () => {
  it('is attended in full whatever the policy, and counts the keys that it sees', async () => {
    const bench = await benchOf(2, { window: 100 });
    bench.append(400);
    const queries = bench.queries(1, 3);
    const request = { layer: 0, position: 399, queries };
    const dense = bench.attention.attend({ ...request, policy: { policy: 'dense' } });
    expect(dense.report).toMatchObject({ keys: 600, certificate: 'certified', tailMass: { max: 0 } });
    for (const policy of policyNames()) {
      bench.attention.observe({ ...request, policies: [{ policy }] });
      const { outputs, report } = bench.attention.attend({ ...request, policy: { policy } });
      expect(outputs, policy).toEqual(dense.outputs);
      expect(report, policy).toEqual(dense.report);
    }
    const block = bench.attention.attend({ layer: 0, position: 320, queries: bench.queries(60), policy: SIEVE });
    expect(block.report.keys).toBe(6 * 60 * 100);
  });

  it('keeps no more keys than it has and a page, and gives the others back', async () => {
    const bench = await benchOf(3, { window: 100 });
    const { cache } = bench.attention;
    let most = 0;
    for (let i = 0; i < 800; i++) {
      bench.append(1);
      expect(cache.length - cache.firstKey).toBeLessThanOrEqual(100 + PAGE_KEYS);
      if (i < 300) most = Math.max(most, cache.bytes);
      else expect(cache.bytes).toBeLessThanOrEqual(most);
    }
  });

  it('can be cut to where it still has what would be seen, or to nothing, and says so', async () => {
    const bench = await benchOf(4, { window: 100 });
    const { attention } = bench;
    const { cache } = attention;
    bench.append(90);
    expect(cache.minLength).toBe(0);
    bench.append(500);
    // The last position before the cut sees from this page on.
    expect(cache.minLength).toBe(448 + 99);
    expectError('invalid-argument', () => cache.truncate(546));
    expect(cache.length).toBe(590);
    cache.truncate(547);
    cache.reserve(1);
    cache.write(0, 547, new Float32Array(64), new Float32Array(64));
    const request = { layer: 0, position: 547, queries: new Float32Array(WIDTH), policy: SIEVE };
    expect(attention.attend(request).outputs.every(Number.isFinite)).toBe(true);
    expectError('invalid-argument', () => cache.read(0, 0, 'keys', 0, 10));
    cache.truncate(0);
    expect([cache.firstKey, cache.minLength]).toEqual([0, 0]);
  });

  it('is forked with what it has, and each goes on by itself', async () => {
    const bench = await benchOf(10, { window: 100 });
    bench.append(500);
    await using fork = bench.attention.fork();
    expect([fork.cache.firstKey, fork.cache.minLength]).toEqual([384, 384 + 99]);
    const queries = bench.queries(1);
    const request = { layer: 0, position: 499, queries, policy: SIEVE };
    const before = bench.attention.attend(request).outputs;
    bench.append(300);
    expect(fork.attend(request).outputs).toEqual(before);
    expectError('invalid-argument', () => fork.cache.copyPage(0));
  });

  it('cannot be measured, nor be less than a key', async () => {
    const bench = await benchOf(5, { window: 100 });
    bench.append(10);
    const queries = bench.queries(1);
    const plan = { shares: [0.5], ladder: [1], distanceBuckets: 4, sketchSize: 0 };
    const request = { layer: 0, positions: [9], queries, outputs: queries, plan };
    expectError('invalid-argument', () => bench.attention.measure(request));
    for (const rule of [{ window: 0 }, { window: 1.5 }, { softCap: 0 }, { softCap: Number.NaN }, { sinks: [[1]] }])
      await expect(createAttention({ ...SHAPE, ...rule })).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});

describe('sinks', () => {
  const policies = policyNames().filter((name) => createPolicy({ policy: name }).budget !== undefined);

  it.for(policies)('%s at a budget of all keys is full attention', async (policy) => {
    const bench = await benchOf(6, { sinks: SINKS }, { threads: 2 });
    bench.append(300);
    const queries = bench.queries(1, 3);
    const request = { layer: 0, position: 299, queries, policy: { policy, budget: 'fixed:300' } };
    bench.attention.observe({ layer: 0, position: 0, queries: bench.queries(299, 3), policies: [request.policy] });
    expect(errorRatio(bench, 0, 299, queries, bench.attention.attend(request).outputs)).toBeLessThan(2);
  });

  it('count in what certificates bound, whatever the sinks', async () => {
    const random = createRandom(7);
    const sinks = fc.array(fc.double({ min: -20, max: 20, noNaN: true }), { minLength: 6, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(sinks, fc.constantFrom('int8', 'topk', 'sieve', 'window'), async (row, policy) => {
        const rule = { sinks: [row, row] };
        const bench = await benchOf(random.below(1000), rule);
        bench.append(400);
        const queries = bench.queries(1, 5);
        const certify = { policy, budget: 'fixed:24', certify: 0.05 };
        const { outputs, report } = bench.attention.attend({ layer: 0, position: 399, queries, policy: certify });
        expect(report.certificate).toBe('certified');
        expect(report.tailMass.max).toBeLessThanOrEqual(0.05);
        for (let head = 0; head < 6; head++) {
          const truth = attention64(bench.problem(0, head, 399, queries)).outputs;
          const norm = Math.sqrt(truth.reduce((sum, x) => sum + x * x, 0));
          const error = distance(headRows(outputs, 6, 32, head), truth).norm;
          expect(error).toBeLessThanOrEqual((report.outputError.max + 1e-5) * norm);
        }
        await open.pop()?.dispose();
      }),
      { numRuns: 25, seed: 1 },
    );
  });

  it('count in the mass that was left out', async () => {
    const massOf = async (sink?: number) => {
      const rule = sink === undefined ? {} : { sinks: [[sink]] };
      const bench = await benchOf(8, rule, { layers: 1, heads: 1, keyValueHeads: 1 });
      bench.append(400);
      const queries = bench.queries(1, 3);
      const policy = { policy: 'topk', budget: 'fixed:20' };
      const { report } = bench.attention.attend({ layer: 0, position: 399, queries, policy });
      return {
        mass: report.tailMass.max,
        logSum: attention64(bench.problem(0, 0, 399, queries)).logSumExp[0] as number,
      };
    };
    const { mass, logSum } = await massOf();
    expect(mass).toBeGreaterThan(0.05);
    for (const sink of [-5, 3, logSum, logSum + 4]) {
      const withSink = await massOf(sink);
      expect(withSink.mass).toBeCloseTo(mass / (1 + Math.exp(sink - logSum)), 3);
    }
  });

  it.for([
    ['a position', 2499, 1],
    ['a block of a prompt', 2436, 64],
  ] as const)(
    'take part in the samples of the sieve for %s: it knows about how near it is',
    async ([, position, count]) => {
      const policy = { policy: 'sieve', budget: 'fixed:300' };
      /** Mean relative errors of all rows: the true one, and the estimate. */
      const errorsOf = async (rule: ScoreRule) => {
        const bench = await benchOf(9, rule);
        bench.append(2500);
        const queries = bench.queries(count, 3);
        const { outputs, report } = bench.attention.attend({ layer: 1, position, queries, shareSamples: true, policy });
        expect(report.rowsFull).toBe(0);
        const errors = Array.from({ length: 6 }, (_, head) => {
          const truth = attention64(bench.problem(1, head, position, queries)).outputs;
          const actual = headRows(outputs, 6, 32, head);
          const row = (numbers: Float32Array | Float64Array, i: number) => numbers.subarray(i * 32, (i + 1) * 32);
          const norm = (numbers: Float64Array) => Math.sqrt(numbers.reduce((sum, x) => sum + x * x, 0));
          return Array.from(
            { length: count },
            (_, i) => distance(row(actual, i), row(truth, i)).norm / norm(row(truth, i) as Float64Array),
          );
        }).flat();
        const mean = (list: readonly number[]) => list.reduce((sum, x) => sum + x, 0) / list.length;
        return { error: mean(errors), estimate: report.outputError.sum / report.rows };
      };
      const [without, withSinks] = [await errorsOf({}), await errorsOf({ sinks: SINKS })];
      expect(withSinks.error).toBeLessThan(1.2 * without.error);
      const ratio = ({ error, estimate }: typeof without) => estimate / error;
      expect(ratio(withSinks)).toBeGreaterThan(0.7 * ratio(without));
      expect(ratio(withSinks)).toBeLessThan(1.4 * ratio(without));
    },
  );
});
