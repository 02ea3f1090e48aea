/** Prompts by blocks: queries that share a sample. */
import { describe, expect, it } from 'vitest';
import { createBench } from '../../test/attention-bench.ts';
import { attention64, distance } from '../../test/plain-attention.ts';
import { createRandom } from '../../test/random.ts';
import { ENCODINGS } from '../kernels/layout.ts';
import { createAttention } from './attention.ts';

const SHAPE = { layers: 1, keyValueHeads: 2, heads: 6, headDim: 64, capacity: 3000, encodings: ENCODINGS } as const;

/** Queries (count, 6, 64) of which neighbours are `alike`: so much of their variance is common. */
function queriesOf(count: number, alike: number): Float32Array {
  const random = createRandom(2);
  const common = random.normals(6 * 64);
  const [own, shared] = [Math.sqrt(1 - alike), Math.sqrt(alike)];
  return random.normals(count * 6 * 64).map((x, i) => own * x + shared * (common[i % common.length] as number));
}

async function measure(options: object, budget: string, count = 128, keys = 2500, alike = 0) {
  const bench = createBench(await createAttention({ ...SHAPE, ...options }), createRandom(1));
  bench.append(keys);
  const position = keys - count;
  const queries = queriesOf(count, alike);
  await using attention = bench.attention;
  const request = { layer: 0, position, queries, policy: { policy: 'sieve', budget }, shareSamples: true };
  const { outputs, report } = attention.attend(request);
  const regions = attention.cache.regions.length;
  const errors: number[] = [];
  for (let head = 0; head < 6; head++) {
    const truth = attention64(bench.problem(0, head, position, queries)).outputs;
    for (let i = 0; i < count; i++) {
      const exact = truth.subarray(i * 64, (i + 1) * 64);
      const actual = outputs.subarray((i * 6 + head) * 64, (i * 6 + head + 1) * 64);
      errors.push(distance(actual, exact).norm / Math.hypot(...exact));
    }
  }
  return { outputs, report, regions, error: errors.reduce((sum, x) => sum + x, 0) / errors.length };
}

/** Few enough queries and keys for the reference kernels. */
const SMALL = ['fixed:64', 32, 1300] as const;

describe('blocks of queries', () => {
  it('share a sample: fewer bytes than dense, and an error that their report knows', async () => {
    const { report, error } = await measure({}, 'fixed:192', 128, 2500, 0.75);
    expect(report.certificate).toBe('estimated');
    expect(report.rowsFull).toBe(0);
    // Two blocks of 64 queries for each key-value head: a sample of 672 keys, those of the block and those before it.
    const mostKeys = 672 + 2 * 64 + 192;
    expect(report.keysExact / report.rows).toBeLessThan(mostKeys);
    expect(report.bytesRead).toBeLessThan(4 * (mostKeys * 256 + 2500 * 12));
    const estimated = report.outputError.sum / report.rows;
    expect(error / estimated).toBeGreaterThan(0.4);
    expect(error / estimated).toBeLessThan(1);
  });

  it('know their error where queries have nothing in common with their neighbours, too', async () => {
    const { report, error } = await measure({}, 'fixed:192');
    const estimated = report.outputError.sum / report.rows;
    // A key that one query alone finds heavy is drawn seldom: neither half of the sample has it, but the fit of scores does.
    expect(error / estimated).toBeGreaterThan(0.4);
    expect(error / estimated).toBeLessThan(1);
  });

  it('are the nearer to dense attention the larger the budget, and dense at last', async () => {
    const [small, large, whole] = [
      await measure({}, 'fixed:64'),
      await measure({}, 'fixed:192'),
      await measure({}, 'fixed:2500'),
    ];
    expect(large.error).toBeLessThan(small.error * 0.7);
    expect(whole.error).toBeLessThan(1e-5);
    expect(whole.report).toMatchObject({ rowsFull: 6 * 128, certificate: 'certified' });
    expect(whole.report.keysExact).toBe(whole.report.keys);
  });

  it('give the same by any number of threads, and nearly the same by the reference kernels and in several regions', async () => {
    const one = await measure({}, ...SMALL);
    expect((await measure({ threads: 2 }, ...SMALL)).outputs).toEqual(one.outputs);
    const others = [
      { kernels: 'reference' },
      { arenaBytes: 20 * 2 ** 16 },
      { precision: 'f32' },
      { precision: 'int8' },
    ];
    for (const options of others) {
      const other = await measure(options, ...SMALL);
      if ('arenaBytes' in options) expect(other.regions).toBeGreaterThan(1);
      // Keys on the edge of the sample may be drawn by one and not by the other.
      expect(Math.abs(other.error / one.error - 1), JSON.stringify(options)).toBeLessThan(0.1);
    }
  });
});
