/** What a block learns from the keys that it drew about those that it did not. */
import { describe, expect, it } from 'vitest';
import { createHeadBench } from '../../test/head-bench.ts';
import { createRandom } from '../../test/random.ts';
import { primaryRegion } from '../group/group-work.ts';
import { fitRows } from './block-fit.ts';
import { BLOCK_FIT_KEYS, BLOCK_UNDRAWN_SAMPLE_KEYS } from './constants.ts';

const [N, D, BITS] = [2048, 32, 8];
const random = createRandom(11);
const keys = random.normals(N * D);
const query = random.normals(D, 3);

/** The fit of one row whose scan is its scores without this noise, of every fourth key, each fifth of these for certain. */
function fitWithNoise(noise: (key: number) => number) {
  const bench = createHeadBench({ headDim: D, keys, values: keys, encodings: ['sign', 'int4'], precision: 'f32' });
  const work = bench.query(query);
  const { views, workspace } = primaryRegion(work);
  const { f32, i16, i32 } = views();
  for (let j = 0; j < N; j++) {
    let score = 0;
    for (let i = 0; i < D; i++) score += ((query[i] as number) * (keys[j * D + i] as number)) / Math.sqrt(D);
    i16[workspace.pooled / 2 + j] = Math.round(((score - noise(j)) * 2 ** BITS) / Math.LN2);
  }
  const drawn = N / 4;
  for (let i = 0; i < drawn; i++) {
    i32[workspace.indices / 4 + i] = 4 * i;
    f32[workspace.logProbabilities / 4 + i] = i % 5 === 0 ? 0 : -1.4;
  }
  const fitted = fitRows(work, drawn, BITS);
  const listed = Array.from(i32.subarray(workspace.indices / 4, workspace.indices / 4 + BLOCK_FIT_KEYS));
  const [intercept, slope, deviation] = f32.subarray(workspace.scanFits / 4) as unknown as [number, number, number];
  return { ...fitted, listed, fit: { intercept, slope, deviation } };
}

describe('the fit of a block', () => {
  it('is by keys that were not drawn for certain, some of which stand for all that were not drawn', () => {
    const { keys: standing, copies, listed } = fitWithNoise(() => 0);
    expect(standing.count).toBe(BLOCK_UNDRAWN_SAMPLE_KEYS);
    expect(new Set(listed).size).toBe(BLOCK_FIT_KEYS);
    expect(listed.filter((position) => position % 20 === 0 || position % 4 !== 0)).toEqual([]);
    // They are spread over the keys.
    const first = listed.slice(0, BLOCK_UNDRAWN_SAMPLE_KEYS);
    expect(Math.min(...first)).toBeLessThan(N / 16);
    expect(Math.max(...first)).toBeGreaterThan((N * 15) / 16);
    expect(copies * BLOCK_UNDRAWN_SAMPLE_KEYS * Math.expm1(1.4)).toBeCloseTo((N * 3) / 4, 3);
  });

  it('has the noise of scores about their scans, and less where large noise is rarer than normal noise', () => {
    const noises = random.normals(N, 0.5);
    const normal = fitWithNoise((j) => noises[j] as number).fit;
    expect(Math.abs(normal.slope - 1)).toBeLessThan(0.15);
    expect(normal.deviation).toBeGreaterThan(0.38);
    expect(normal.deviation).toBeLessThan(0.65);
    // Of the same standard deviation, and never larger.
    const bounded = fitWithNoise((j) => ((j * 0.618034) % 1 < 0.5 ? 0.5 : -0.5)).fit;
    expect(bounded.deviation).toBeGreaterThan(0.15);
    expect(bounded.deviation).toBeLessThan(0.75 * normal.deviation);
  });
});
