import { createAttention } from 'keysieve';
import { distanceBucket } from 'keysieve/engine';
import { beforeAll, describe, expect, it } from 'vitest';
import { createRandom } from '../../../core/test/random.ts';
import { createRandom as createSeededRandom } from '../numerics/random.ts';
import { PooledTallies } from './pooled.ts';
import { samplePositions } from './positions.ts';
import { LawTally } from './tally.ts';

const HEADS = { distance: 0, keys: 1, sink: 2, noise: 3 } as const;
const SHAPE = { layers: 1, keyValueHeads: 4, heads: 4, headDim: 32 } as const;
const LENGTHS = [500, 1000];
const WIDTH = SHAPE.heads * SHAPE.headDim;
/** Scores are queries times keys by this. */
const SCALE = Math.sqrt(SHAPE.headDim);

describe('a tally of heads of known kinds', () => {
  let pooled: PooledTallies;
  let tally: LawTally;

  beforeAll(async () => {
    const n = LENGTHS.at(-1) as number;
    await using attention = await createAttention({ ...SHAPE, capacity: n, encodings: ['summary'], precision: 'f32' });
    const random = createRandom(3);
    const seeded = createSeededRandom(3);
    const normals = (count: number) => Float32Array.from({ length: count }, random.normal);
    const keys = normals(n * WIDTH);
    const set = (rows: Float32Array, row: number, head: number, values: number[]) =>
      rows
        .fill(0, row * WIDTH + head * SHAPE.headDim, row * WIDTH + (head + 1) * SHAPE.headDim)
        .set(values, row * WIDTH + head * SHAPE.headDim);
    for (let j = 0; j < n; j++) {
      // Scores that fall with the distance by 0.02 nats a key: up to what all keys of a query have in common.
      set(keys, j, HEADS.distance, [0.02 * j]);
      set(keys, j, HEADS.keys, [2 * random.normal()]);
      set(keys, j, HEADS.sink, [j === 0 ? 12 : random.normal()]);
    }
    attention.cache.reserve(n);
    attention.cache.write(0, 0, keys, normals(n * WIDTH));
    attention.cache.commit(n);

    const positionsByLength = LENGTHS.map((length) => samplePositions(length, 40, seeded));
    const counts = positionsByLength.map((positions) => positions.length);
    const design = {
      ...SHAPE,
      lengths: LENGTHS,
      shares: [0.1],
      ladder: [4, 16],
      budgets: [32],
      queryCounts: counts,
      trialCounts: [1, 1],
      distanceBuckets: distanceBucket(n - 1) + 1,
      sketchSize: 80,
    };
    tally = new LawTally(design);
    for (const [length, positions] of positionsByLength.entries()) {
      const queries = normals(positions.length * WIDTH).map((x) => 3 * x);
      for (const i of positions.keys()) {
        for (const head of [HEADS.distance, HEADS.keys, HEADS.sink]) set(queries, i, head, [SCALE]);
      }
      const outputs = new Float32Array(queries.length).fill(1);
      const measurements = attention.measure({ layer: 0, positions, queries, outputs, plan: design });
      for (const [i, measurement] of measurements.entries()) {
        const index = Math.floor(i / SHAPE.heads);
        tally.add(length, index, 0, i % SHAPE.heads, (positions[index] as number) + 1, measurement);
      }
    }
    pooled = new PooledTallies([tally, tally], n);
  });

  const shares = (head: number) => pooled.distanceShares(head) as number[];

  it('has all of the variance explained by distance where nothing else counts, and next to none elsewhere', () => {
    for (const share of shares(HEADS.distance)) {
      expect(share).toBeGreaterThan(0.98);
      expect(share).toBeLessThanOrEqual(1);
    }
    for (const head of [HEADS.keys, HEADS.noise, HEADS.sink]) {
      for (const share of shares(head)) expect(Math.abs(share)).toBeLessThan(0.15);
    }
  });

  it('has nothing left beyond rank 4 where all queries look at the same key, and much where each has its own', () => {
    expect(pooled.residual(HEADS.sink, 4)).toBeLessThan(0.01);
    expect(pooled.residual(HEADS.noise, 4)).toBeGreaterThan(0.6);
    expect(pooled.residual(HEADS.noise, 1)).toBeGreaterThan(pooled.residual(HEADS.noise, 4));
    // The same few keys stand out for every query.
    expect(pooled.residual(HEADS.keys, 4)).toBeLessThan(0.3);
  });

  it('has no share where a half has no queries', () => {
    const { design } = tally;
    const single = new LawTally({ ...design, queryCounts: [1, 1] });
    expect(new PooledTallies([single], 1000).distanceShares(0)).toEqual([null, null]);
    expect(new PooledTallies([single], 1000).residual(0, 4)).toBe(0);
  });

  it('counts every key after the first four once', () => {
    const halves = [0, 1].map((half) => tally.distances(HEADS.noise, 0, half).counts);
    const counted = halves.reduce((sum, counts) => sum + counts.reduce((total, x) => total + x, 0), 0);
    const [from, to] = tally.range(0);
    expect(counted).toBe(tally.n.subarray(from, to).reduce((sum, n) => sum + n - 4, 0));
  });
});
