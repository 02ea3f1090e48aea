/** How far rounding moves scores is foreseen: groups in doubt that may be far off are drawn again, or read every key. */
import { describe, expect, it } from 'vitest';
import { createHeadBench } from '../../test/head-bench.ts';
import { createRandom } from '../../test/random.ts';
import { swingingKeys } from '../../test/swinging-keys.ts';
import { createAttention } from '../attention/attention.ts';
import { primaryRegion } from '../group/group-work.ts';
import { int4ScoreErrors } from '../group/quantized-work.ts';
import { centreOf, int4Row, quantizedKey } from '../kernels/quantized-rows.ts';
import { rotate } from '../kernels/rotation.ts';
import { MAX_ERROR_IN_DOUBT, MAX_SCORE_ROUNDING } from './constants.ts';

const D = 64;

describe.each([1, 25, 150] as const)('keys that swing by %d', (bias) => {
  it('have their scores moved by as much as is foreseen', () => {
    const n = 1000;
    const keys = swingingKeys(n, bias, D);
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
    const foreseen = int4ScoreErrors(work)[0] as number;
    expect(foreseen / measured).toBeGreaterThan(0.8);
    expect(foreseen / measured).toBeLessThan(1.25);
    expect(foreseen > MAX_SCORE_ROUNDING).toBe(bias > 1);
  });

  it.each([1, 2])(
    'are read by a sample, by a finer one where that is in doubt and far off, or in full, on %d threads',
    async (threads) => {
      const n = 4200;
      const random = createRandom(3);
      const encodings = ['sign', 'int4'] as const;
      const shape = { layers: 1, heads: 2, keyValueHeads: 1, headDim: D, precision: 'f32' as const };
      await using attention = await createAttention({ ...shape, capacity: n, encodings: [...encodings], threads });
      attention.cache.reserve(n);
      attention.cache.write(0, 0, swingingKeys(n, bias, D), random.normals(n * D));
      attention.cache.commit(n);
      const queries = random.normals(2 * D);
      const request = { layer: 0, position: n - 1, queries };
      const { outputs, report } = attention.attend({ ...request, policy: { policy: 'sieve' } });
      const { outputs: full } = attention.attend({ ...request, policy: { policy: 'dense' } });
      const difference = Math.hypot(...full.map((x, i) => x - (outputs[i] as number))) / Math.hypot(...full);
      if (bias === 1) {
        // Not in doubt, however far off a sample of normal keys is.
        expect(report.outputError.max).toBeGreaterThan(MAX_ERROR_IN_DOUBT);
        expect((report.keysExact + report.keysQuantized) / report.keys).toBeLessThan(0.5);
      } else {
        expect(report.outputError.max).toBeLessThanOrEqual(MAX_ERROR_IN_DOUBT);
        expect(difference).toBeLessThan(2 * MAX_ERROR_IN_DOUBT);
        expect(report.rowsFull).toBe(bias === 25 ? 0 : 2);
      }
    },
  );
});

describe('peaked scores', () => {
  it('are read by a sample, since what was rounded has little weight', async () => {
    const n = 2100;
    const random = createRandom(5);
    const keys = random.normals(n * D);
    const query = keys.slice(900 * D, 901 * D).map((x) => 24 * x);
    const shape = { layers: 1, heads: 1, keyValueHeads: 1, headDim: D, precision: 'f32' as const, capacity: n };
    await using attention = await createAttention({ ...shape, encodings: ['sign', 'int4'], threads: 1 });
    attention.cache.reserve(n);
    attention.cache.write(0, 0, keys, random.normals(n * D));
    attention.cache.commit(n);
    const { report } = attention.attend({ layer: 0, position: n - 1, queries: query, policy: { policy: 'sieve' } });
    expect(report.rowsFull).toBe(0);
    expect((report.keysExact + report.keysQuantized) / report.keys).toBeLessThan(0.5);
    const bench = createHeadBench({ headDim: D, keys, values: random.normals(n * D), encodings: ['int4'] });
    expect(int4ScoreErrors(bench.query(query))[0]).toBeGreaterThan(MAX_SCORE_ROUNDING);
  });
});
