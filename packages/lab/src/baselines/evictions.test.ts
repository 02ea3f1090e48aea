import type { PolicySpec } from 'keysieve';
import { createWeightsBench, type WeightsBench } from 'keysieve/conformance';
import { describe, expect, it } from 'vitest';
import { registerBaselines } from './index.ts';
import { createSnapkv, OBSERVATION_WINDOW } from './snapkv.ts';

await registerBaselines();

/** What five queries of a prompt pay to the keys before them, and a sixth to those that are left. */
const PAID = [
  [1],
  [0.9, 0.1],
  [0.4, 0.3, 0.3],
  [0.3, 0.1, 0.5, 0.1],
  [0.2, 0.1, 0.3, 0.15, 0.25],
  // Keys 1 and 3 would have most of it.
  [0.02, 9, 0.04, 9, 0.9, 0.04],
];

/** The prompt has been shown; then the keys that are read by the next query, and by the one after it. */
async function readAfter(bench: WeightsBench, heads: number, policy: PolicySpec): Promise<number[][][]> {
  await using attention = bench.attention;
  const each = (kind: number) => Array.from({ length: heads }, () => kind);
  attention.observe({
    layer: 0,
    position: 0,
    queries: bench.queries(...[0, 1, 2, 3, 4].map(each)),
    policies: [policy],
  });
  const next = bench.readBy(5, policy);
  attention.cache.truncate(5);
  attention.cache.reserve(2);
  attention.attend({ layer: 0, position: 5, queries: bench.queries(each(5)), policy });
  return [next, bench.readBy(6, policy)];
}

describe('H2O', () => {
  it('keeps heavy hitters and recent keys, half and half: a case by hand', async () => {
    // Keys have received 2.8, .6, 1.1, .25 and .25. With the new one there are four: one recent key, two heavy ones.
    const [next, after] = await readAfter(await createWeightsBench(7, [PAID]), 1, { policy: 'h2o', budget: 'fixed:4' });
    expect(next).toEqual([[0, 2, 4, 5]]);
    // Now 2.82, 1.14, 1.15 and .04, of which the last is recent.
    expect(after).toEqual([[0, 4, 5, 6]]);
  });
});

describe('TOVA', () => {
  it('drops what the last query has paid the least attention to: a case by hand', async () => {
    const [next, after] = await readAfter(await createWeightsBench(7, [PAID]), 1, {
      policy: 'tova',
      budget: 'fixed:4',
    });
    // Of the last query of the prompt keys 1 and 3 have the least; of the next one key 0.
    expect(next).toEqual([[0, 2, 4, 5]]);
    expect(after).toEqual([[2, 4, 5, 6]]);
  });

  it('keeps the same positions in all heads of a layer, by the mean of their attention', async () => {
    const other = [...PAID.slice(0, 4), [0.05, 0.5, 0.1, 0.3, 0.05], [0.3, 0.3, 0.2, 9, 9, 0.2]];
    const bench = await createWeightsBench(7, [PAID, other]);
    // Means of .125, .3, .2, .225 and .15.
    const [next, after] = await readAfter(bench, 2, { policy: 'tova', budget: 'fixed:4' });
    expect(next).toEqual([
      [1, 2, 3, 5],
      [1, 2, 3, 5],
    ]);
    // Key 2 has .04 of 18.08 and .2 of 9.7, key 5 the same: the later stays.
    expect(after).toEqual([
      [1, 3, 5, 6],
      [1, 3, 5, 6],
    ]);
  });
});

describe('SnapKV', () => {
  const KEYS = 102;
  const PROMPT = 100;
  /** Two keys that the window looks at, and others, of which the later have a little more. */
  const votes = Array.from({ length: KEYS }, (_, j) => (j === 20 ? 4 : j === 50 ? 2 : 1e-3 * (1 + j / 1000)));

  it('keeps the window, what it votes for, and what surrounds that; later all that comes: a case by hand', async () => {
    const bench = await createWeightsBench(KEYS, [[votes]]);
    await using attention = bench.attention;
    const policy = { policy: 'snapkv', budget: 'fixed:50' };
    const queries = bench.queries(...Array.from({ length: PROMPT }, () => [0]));
    attention.observe({ layer: 0, position: 0, queries, policies: [policy] });
    const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
    // 49 keys of the prompt: 32 of the window, 7 round each of the two, and 3 more, which end where the window begins.
    const kept = [...range(17, 24), ...range(47, 54), ...range(65, 68), ...range(PROMPT - OBSERVATION_WINDOW, PROMPT)];
    expect(bench.readBy(PROMPT, policy)).toEqual([[...kept, PROMPT]]);
    expect(bench.readBy(PROMPT + 1, policy)).toEqual([[...kept, PROMPT, PROMPT + 1]]);
  });

  it('pools votes over seven keys', () => {
    const received = new Float64Array(OBSERVATION_WINDOW + 20);
    received[10] = 3;
    received[12] = 5;
    received[25] = 9;
    const worth = createSnapkv().worthOfPrompt({ received, heads: [] });
    expect([...worth.subarray(0, 20)]).toEqual([0, 0, 0, 0, 0, 0, 0, 3, 3, 5, 5, 5, 5, 5, 5, 5, 0, 0, 0, 0]);
    expect(worth[25]).toBe(9);
  });
});
