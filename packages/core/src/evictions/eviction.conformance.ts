/** What every eviction must do, whatever is attended to. */
import { describe, expect, it } from 'vitest';
import { type AttentionBench, createBench, errorRatio } from '../../test/attention-bench.ts';
import { expectError } from '../../test/errors.ts';
import { createRandom } from '../../test/random.ts';
import { arenaBytesFor } from '../../test/small-arena.ts';
import { createWeightsBench } from '../../test/weights-bench.ts';
import { type AttentionOptions, createAttention } from '../attention/attention.ts';
import type { KvCache } from '../cache/kv-cache.ts';
import type { PolicySpec } from '../policies/policy.ts';
import type { Eviction } from './eviction.ts';

const SHAPE = { layers: 1, keyValueHeads: 2, heads: 6, headDim: 64, capacity: 200 } as const;
const WIDTH = SHAPE.heads * SHAPE.headDim;
const PROMPT = 150;
const LENGTH = 170;

export function describeEviction(create: () => Eviction): void {
  const { name: policy, updateScore, slack = 0, remains } = create();
  /** Keys that a query reads after `passed` others, where the first one reads `budget` of them. */
  const keysAfter = (budget: number, passed: number) => {
    if (updateScore === undefined) return budget + passed;
    return budget + (passed % (slack + 1));
  };
  const keysOf = (budget: number, count: number) =>
    Array.from({ length: count }, (_, passed) => keysAfter(budget, passed)).reduce((sum, keys) => sum + keys, 0);
  /** Budgets of the tests: what an eviction keeps while it reads a prompt may depend on them. */
  const SHOWN = [
    `fixed:${LENGTH}`,
    'fraction:1',
    'power:1,1',
    ...[1, 2, 5, 7, 20, 40, 100].map((keys) => `fixed:${keys}`),
  ];
  const specOf = (budget: string): PolicySpec => ({ policy, budget });

  /** A cache of LENGTH keys whose first PROMPT were read, and the queries of all. */
  async function prepare(options: Partial<AttentionOptions> = {}, spread = 2) {
    const bench = createBench(await createAttention({ ...SHAPE, ...options }), createRandom(7));
    bench.append(LENGTH);
    const queries = bench.queries(LENGTH, spread);
    observe(bench, queries, 0, PROMPT);
    return { bench, queries };
  }

  const observe = ({ attention }: AttentionBench, queries: Float32Array, from: number, to: number): void =>
    attention.observe({
      layer: 0,
      position: from,
      queries: queries.subarray(from * WIDTH, to * WIDTH),
      policies: [...SHOWN.map(specOf), { policy: 'window' }],
    });

  const attend = ({ attention }: AttentionBench, queries: Float32Array, budget: string, from: number, to: number) =>
    attention.attend({
      layer: 0,
      position: from,
      queries: queries.subarray(from * WIDTH, to * WIDTH),
      policy: specOf(budget),
    });

  describe(`the eviction ${policy}`, () => {
    it('is dense attention where the budget is n', async () => {
      for (const precision of ['f16', 'f32', 'int8'] as const) {
        const { bench, queries } = await prepare({ precision });
        await using _ = bench.attention;
        for (const budget of [`fixed:${LENGTH}`, 'fraction:1', 'power:1,1']) {
          const { outputs, report } = attend(bench, queries, budget, PROMPT, LENGTH);
          const answerQueries = queries.subarray(PROMPT * WIDTH);
          expect(errorRatio(bench, 0, PROMPT, answerQueries, outputs), `${budget}, ${precision}`).toBeLessThan(2);
          expect(report).toMatchObject({
            keysExact: report.keys,
            rowsFull: report.rows,
            tailMass: { sum: 0 },
            outputError: { sum: 0 },
            certificate: 'certified',
          });
        }
      }
    });

    it('reads as many keys as the budget says, for all heads of a group at once', async () => {
      for (const budget of [1, 2, 7, 40, 100]) {
        const { bench, queries } = await prepare();
        await using _ = bench.attention;
        const { report } = attend(bench, queries, `fixed:${budget}`, PROMPT, LENGTH);
        // What comes after the prompt is kept on top, where nothing is dropped any more.
        const keys = keysOf(budget, LENGTH - PROMPT);
        expect(report.keysExact).toBe(SHAPE.heads * keys);
        const sums = create().readsScores ? 4 : 0;
        const bytes = SHAPE.keyValueHeads * keys * (2 * SHAPE.headDim * 2 + sums);
        if (remains === undefined) expect(report).toMatchObject({ bytesRead: bytes, certificate: 'certified' });
        else {
          expect(report.bytesRead).toBeGreaterThan(bytes);
          expect(report.certificate).toBe('estimated');
        }
      }
    });

    it('gives the same in chunks, token by token, again after a cut, with threads and in several regions', async () => {
      const { bench, queries } = await prepare();
      await using attention = bench.attention;
      const { outputs } = attend(bench, queries, 'fixed:20', PROMPT, LENGTH);
      const cut = () => {
        const { keys, values } = bench.stored[0] as (typeof bench.stored)[0];
        attention.cache.truncate(PROMPT);
        attention.cache.reserve(LENGTH - PROMPT);
        const from = PROMPT * SHAPE.keyValueHeads * SHAPE.headDim;
        attention.cache.write(0, PROMPT, keys.subarray(from), values.subarray(from));
      };
      for (const step of [1, 3, LENGTH - PROMPT]) {
        cut();
        // Other policies and budgets have passes of their own.
        attend(bench, queries, 'fixed:5', PROMPT, PROMPT + 4);
        for (let from = PROMPT; from < LENGTH; from += step) {
          const to = Math.min(LENGTH, from + step);
          const expected = outputs.subarray((from - PROMPT) * WIDTH, (to - PROMPT) * WIDTH);
          expect(attend(bench, queries, 'fixed:20', from, to).outputs, `${from} to ${to}`).toEqual(expected);
        }
      }
      for (const options of [{ threads: 2 }, { arenaBytes: arenaBytesFor(1, SHAPE) }]) {
        const { bench: other } = await prepare(options);
        await using opened = other.attention;
        if ('arenaBytes' in options) expect(opened.cache.regions.length).toBeGreaterThan(1);
        const result = attend(other, queries, 'fixed:20', PROMPT, LENGTH).outputs;
        for (const [i, x] of result.entries()) expect(x).toBeCloseTo(outputs[i] as number, 5);
      }
    });

    // Remains add to the outputs that tell which keys were read.
    it.skipIf(remains !== undefined)('never reads again what it has dropped', async () => {
      const random = createRandom(3);
      const weights = Array.from({ length: 8 }, () => Array.from({ length: 80 }, () => random.uniform() ** 4 + 0.01));
      const bench = await createWeightsBench(80, [weights]);
      await using attention = bench.attention;
      const queries = bench.queries(...Array.from({ length: 80 }, (_, i) => [i % 8]));
      const spec = specOf('fixed:40');
      attention.observe({ layer: 0, position: 0, queries: queries.subarray(0, 60 * 8), policies: [spec] });
      let before = new Set(Array.from({ length: 60 }, (_, j) => j));
      for (let position = 60; position < 80; position++) {
        const read = new Set(bench.readBy(position, spec)[0]);
        expect(read.size).toBeLessThan(position + 1);
        for (const key of read) expect(key === position || before.has(key), `key ${key} at ${position}`).toBe(true);
        before = read;
      }
    });

    it('takes a prompt in pieces, and begins without one at the first token', async () => {
      const { bench, queries } = await prepare();
      await using _ = bench.attention;
      const { outputs } = attend(bench, queries, 'fixed:20', PROMPT, LENGTH);
      const { bench: other } = await prepare();
      await using __ = other.attention;
      observe(other, queries, 0, 64);
      observe(other, queries, 64, 65);
      observe(other, queries, 65, PROMPT);
      expect(attend(other, queries, 'fixed:20', PROMPT, LENGTH).outputs).toEqual(outputs);
      const { report } = attend(other, queries, 'fixed:20', 0, 50);
      expect(report.keysExact).toBe(
        SHAPE.heads * (updateScore && slack === 0 ? 30 * 20 + (20 * 21) / 2 : (50 * 51) / 2),
      );
    });

    it('goes on in a fork as in what it was forked from, and neither disturbs the other', async () => {
      const { bench, queries } = await prepare();
      await using attention = bench.attention;
      const { outputs } = attend(bench, queries, 'fixed:20', PROMPT, LENGTH);
      attention.cache.truncate(PROMPT);
      const rewrite = (cache: KvCache) => {
        const { keys, values } = bench.stored[0] as (typeof bench.stored)[0];
        cache.reserve(LENGTH - PROMPT);
        const from = PROMPT * SHAPE.keyValueHeads * SHAPE.headDim;
        cache.write(0, PROMPT, keys.subarray(from), values.subarray(from));
        cache.commit(LENGTH);
      };
      rewrite(attention.cache);
      const half = (PROMPT + LENGTH) / 2;
      const first = attend(bench, queries, 'fixed:20', PROMPT, half).outputs;
      await using fork = attention.fork();
      const other = { ...bench, attention: fork };
      const rest = [other, bench].map((each) => attend(each, queries, 'fixed:20', half, LENGTH).outputs);
      for (const outputsOfRest of rest) expect([...first, ...outputsOfRest]).toEqual([...outputs]);
    });

    it('refuses to go on where it was not shown all queries, and to promise anything', async () => {
      const { bench, queries } = await prepare();
      await using attention = bench.attention;
      const error = expectError('invalid-argument', () => attend(bench, queries, 'fixed:20', PROMPT + 1, LENGTH));
      expect(error.found).toBe(`queries before ${PROMPT}, of ${PROMPT + 1}`);
      expect(error.remedy).toContain('observe');
      expectError('invalid-argument', () => observe(bench, queries, PROMPT + 1, LENGTH));
      const part = { layer: 0, position: 0, queries: queries.subarray(1, WIDTH), policies: [specOf('fixed:9')] };
      expectError('invalid-argument', () => attention.observe(part));
      for (const wrong of [{ budget: 'mass:0.1' }, { budget: 'fixed:9', certify: 0.1 }]) {
        const request = { layer: 0, position: PROMPT, queries: queries.subarray(-WIDTH), policy: { policy, ...wrong } };
        expectError('invalid-argument', () => attention.attend(request));
      }
      attention.cache.truncate(PROMPT - 1);
      attention.cache.reserve(1);
      expectError('invalid-argument', () => attend(bench, queries, 'fixed:20', PROMPT - 1, PROMPT));
    });
  });
}
