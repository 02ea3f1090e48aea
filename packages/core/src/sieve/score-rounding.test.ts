/** Groups whose keys 4 bits tell too little of: how far rounding moves scores is foreseen, and they read all keys. */
import { describe, expect, it } from 'vitest';
import { createHeadBench } from '../../test/head-bench.ts';
import { createRandom } from '../../test/random.ts';
import { createAttention } from '../attention/attention.ts';
import { primaryRegion } from '../group/group-work.ts';
import { scoreRounding } from '../group/quantized-work.ts';
import { centreOf, int4Row, quantizedKey } from '../kernels/quantized-rows.ts';
import { rotate } from '../kernels/rotation.ts';
import { MAX_SCORE_ROUNDING } from './constants.ts';

const D = 64;

/** Keys (n, 64) that swing by `bias` in four dimensions, each in its own rhythm, as biased keys do once they are turned. */
function swingingKeys(n: number, bias: number): Float32Array {
  const random = createRandom(7);
  const keys = random.normals(n * D);
  for (let j = 0; j < n; j++) {
    for (const i of [3, 11, 22, 40])
      keys[j * D + i] = (keys[j * D + i] as number) + bias * Math.cos(j * (0.4 + i / 50));
  }
  return keys;
}

describe.each([1, 10, 100])('keys that swing by %d', (bias) => {
  it('have their scores moved by as much as is foreseen', () => {
    const n = 1000;
    const keys = swingingKeys(n, bias);
    const random = createRandom(2);
    const bench = createHeadBench({ headDim: D, keys, values: random.normals(n * D), encodings: ['int4'] });
    const query = random.normals(D);
    const work = bench.query(query);
    const { pages } = work.segments[0] as (typeof work.segments)[number];
    const views = primaryRegion(work).views();
    const rotated = rotate(Float64Array.from(query, (x) => x / Math.sqrt(D)));
    let squares = 0;
    const full = n - (n % 64);
    for (let j = 0; j < full; j++) {
      const key = quantizedKey(views, pages, j);
      const [centre, row] = [centreOf(views, key), int4Row(views, key, 'key')];
      let error = 0;
      for (let i = 0; i < D; i++) {
        error += (rotated[i] as number) * ((centre[i] as number) + (row[i] as number));
        error -= ((query[i] as number) / Math.sqrt(D)) * (keys[j * D + i] as number);
      }
      squares += error ** 2;
    }
    const measured = Math.sqrt(squares / full);
    expect(scoreRounding(work) / measured).toBeGreaterThan(0.8);
    expect(scoreRounding(work) / measured).toBeLessThan(1.25);
    expect(scoreRounding(work) > MAX_SCORE_ROUNDING).toBe(bias === 100);
  });

  it.each([1, 2])('are read in full where that is too much, on %d threads', async (threads) => {
    const n = 2100;
    const random = createRandom(3);
    const encodings = ['sign', 'int4'] as const;
    const shape = { layers: 1, heads: 2, keyValueHeads: 1, headDim: D, precision: 'f32' as const };
    await using attention = await createAttention({ ...shape, capacity: n, encodings: [...encodings], threads });
    attention.cache.reserve(n);
    attention.cache.write(0, 0, swingingKeys(n, bias), random.normals(n * D));
    attention.cache.commit(n);
    const queries = random.normals(2 * D);
    const request = { layer: 0, position: n - 1, queries };
    const { outputs, report } = attention.attend({ ...request, policy: { policy: 'sieve' } });
    expect(report.rowsFull).toBe(bias === 100 ? 2 : 0);
    if (bias < 100) return;
    const { outputs: full } = attention.attend({ ...request, policy: { policy: 'dense' } });
    for (const [i, x] of full.entries()) expect(outputs[i]).toBeCloseTo(x, 4);
  });
});
