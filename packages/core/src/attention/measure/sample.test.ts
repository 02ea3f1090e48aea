import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { createBench } from '../../../test/attention-bench.ts';
import { score64 } from '../../../test/plain-attention.ts';
import { createRandom } from '../../../test/random.ts';
import { arenaBytesFor } from '../../../test/small-arena.ts';
import { sinksAndRecent } from '../../selectors/selector.ts';
import { type Attention, type AttentionOptions, createAttention } from '../attention.ts';
import { bucketStart, distanceBucket } from './distance-buckets.ts';
import { Ranking } from './ranking.ts';
import { sketchRow } from './row-sketch.ts';
import { relativeError } from './sample.ts';

const SHAPE = { layers: 1, keyValueHeads: 2, heads: 6, headDim: 32, capacity: 1200 } as const;
const PLAN = {
  shares: [0.3, 0.1, 0.01],
  ladder: [1, 7, 16, 40, 64, 128, 300, 700, 1100],
  distanceBuckets: 64,
  sketchSize: 32,
};
const POSITIONS = [0, 30, 63, 64, 200, 699];

const open: Attention[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((attention) => attention.dispose()));
});

/** Samples, and the bench that they are of. */
async function sampled(options: Partial<AttentionOptions> = {}) {
  const attention = await createAttention({ ...SHAPE, encodings: ['summary'], ...options });
  open.push(attention);
  const bench = createBench(attention, createRandom(5));
  bench.append(700);
  const queries = bench.queries(POSITIONS.length, 2);
  const width = SHAPE.heads * SHAPE.headDim;
  const one = (index: number) => ({
    layer: 0,
    position: POSITIONS[index] as number,
    queries: queries.subarray(index * width, (index + 1) * width),
  });
  const outputs = new Float32Array(queries.length);
  for (const i of POSITIONS.keys()) {
    outputs.set(attention.attend({ ...one(i), policy: { policy: 'dense' } }).outputs, i * width);
  }
  const measurements = attention.measure({ layer: 0, positions: POSITIONS, queries, outputs, plan: PLAN });
  return { attention, bench, queries, outputs, one, samples: measurements };
}

/** Rows of one head: (headDim). */
const rowOf = (numbers: Float32Array, row: number) => numbers.subarray(row * SHAPE.headDim, (row + 1) * SHAPE.headDim);

describe('sample', () => {
  it.for([
    ['one thread', {}],
    [
      'two threads and several regions',
      { threads: 2, arenaBytes: arenaBytesFor(2, { ...SHAPE, encodings: ['summary'], threads: 2 }) },
    ],
    ['reference kernels, in f32', { kernels: 'reference', precision: 'f32' }],
  ] as [string, Partial<AttentionOptions>][])(
    'has the errors of the policies topk and topk-means, with %s',
    async ([, options]) => {
      const { attention, outputs, one, samples } = await sampled(options);
      if ('arenaBytes' in options) expect(attention.cache.regions.length).toBeGreaterThan(1);
      // The reference is slow: it is tried on few keys.
      const most = options.kernels === 'reference' ? 100 : Number.POSITIVE_INFINITY;
      for (const [index, position] of POSITIONS.entries()) {
        if (position > most) continue;
        for (const [rung, keys] of PLAN.ladder.entries()) {
          const spec = (policy: string) => ({ ...one(index), policy: { policy, budget: `fixed:${keys}` } });
          const errorWithoutTail = attention.attend(spec('topk')).outputs;
          const errorWithTail = attention.attend(spec('topk-means')).outputs;
          for (let head = 0; head < SHAPE.heads; head++) {
            const measurement = samples[index * SHAPE.heads + head];
            const exact = rowOf(outputs, index * SHAPE.heads + head);
            if (keys > 0.6 * (position + 1)) {
              expect(measurement?.errorWithoutTail[rung]).toBeNaN();
              expect(measurement?.errorWithTail[rung]).toBeNaN();
              continue;
            }
            expect(measurement?.errorWithoutTail[rung]).toBeCloseTo(
              relativeError(rowOf(errorWithoutTail, head), exact),
              5,
            );
            expect(measurement?.errorWithTail[rung]).toBeCloseTo(relativeError(rowOf(errorWithTail, head), exact), 5);
          }
        }
      }
    },
  );

  it('counts keys and describes the softmax as float64 does', async () => {
    const { bench, queries, samples } = await sampled();
    for (const [index, position] of POSITIONS.entries()) {
      for (let head = 0; head < SHAPE.heads; head++) {
        const width = SHAPE.heads * SHAPE.headDim;
        const problem = bench.problem(0, head, position, queries.subarray(index * width, (index + 1) * width));
        const scores = Float64Array.from({ length: position + 1 }, (_, key) => score64(problem, 0, key));
        const largest = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - largest));
        const total = weights.reduce((sum, x) => sum + x, 0);
        const shares = weights.map((x) => x / total);
        const measurement = samples[index * SHAPE.heads + head];
        const sumOf = (numbers: Float64Array) => numbers.reduce((sum, x) => sum + x, 0);
        expect(measurement?.sinkMass).toBeCloseTo(sumOf(shares.subarray(0, 4)), 5);
        expect(measurement?.localMass).toBeCloseTo(sumOf(shares.subarray(-128)), 5);
        const entropy = -sumOf(shares.map((p) => p * Math.log(p)));
        expect((measurement?.effectiveKeys ?? 0) / Math.exp(entropy)).toBeCloseTo(1, 4);
        const mean = sumOf(scores) / scores.length;
        expect(measurement?.scoreSpread).toBeCloseTo(
          Math.sqrt(sumOf(scores.map((s) => (s - mean) ** 2)) / scores.length),
          4,
        );
        const later = scores.subarray(4);
        const laterMean = sumOf(later) / Math.max(1, later.length);
        const sums = new Float64Array(PLAN.distanceBuckets);
        for (const [j, score] of later.entries()) {
          const bucket = distanceBucket(later.length - 1 - j);
          sums[bucket] = (sums[bucket] as number) + score - laterMean;
        }
        for (const [bucket, sum] of sums.entries()) expect(measurement?.distanceSums[bucket]).toBeCloseTo(sum, 2);
        expect(measurement?.scoreSquares).toBeCloseTo(sumOf(later.map((score) => (score - laterMean) ** 2)), 1);
        const sorted = shares.slice().sort().reverse();
        for (const [i, share] of PLAN.shares.entries()) {
          let [keys, unread] = [position + 1, 0];
          while (keys > 1 && unread + (sorted[keys - 1] as number) <= share) unread += sorted[--keys] as number;
          expect(Math.abs((measurement?.mass[i] ?? 0) - keys)).toBeLessThanOrEqual(1);
        }
      }
    }
  });

  it('refuses what does not fit the cache', async () => {
    const { attention, queries, outputs } = await sampled();
    const request = { layer: 0, positions: POSITIONS, queries, outputs, plan: PLAN };
    const code = { code: 'invalid-argument' };
    const refused = (change: object) =>
      expect(() => attention.measure({ ...request, ...change })).toThrow(expect.objectContaining(code));
    refused({ positions: [] });
    refused({ positions: [...POSITIONS.slice(1), 700] });
    refused({ layer: 1 });
    refused({ queries: queries.subarray(1) });
    refused({ plan: { ...PLAN, ladder: [3, 3] } });
    refused({ plan: { ...PLAN, shares: [1] } });
    refused({ plan: { ...PLAN, distanceBuckets: distanceBucket(699) } });
    refused({ plan: { ...PLAN, sketchSize: 0 } });
    const bare = await createAttention(SHAPE);
    open.push(bare);
    const other = createBench(bare, createRandom(5));
    other.append(700);
    expect(() => bare.measure(request)).toThrow(expect.objectContaining(code));
  });
});

describe('distance buckets', () => {
  it('hold every distance once, and are an eighth of an octave wide at most', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 24 }), (distance) => {
        const bucket = distanceBucket(distance);
        const [from, to] = [bucketStart(bucket), bucketStart(bucket + 1)];
        expect(distance).toBeGreaterThanOrEqual(from);
        expect(distance).toBeLessThan(to);
        expect(to - from).toBeLessThanOrEqual(Math.max(1, from / 8));
      }),
    );
  });
});

describe('sketchRow', () => {
  const sketchOf = (scores: Float32Array, size = 64) => {
    const sketch = new Float32Array(size);
    sketchRow(scores, Math.max(...scores), sketch);
    return sketch;
  };

  it('keeps inner products of rows of length 1, on average over pairs', () => {
    const random = createRandom(9);
    const rows = Array.from({ length: 40 }, () => {
      const scores = Float32Array.from({ length: 500 }, () => 2 * random.normal());
      const weights = Float64Array.from(scores, Math.exp);
      const norm = Math.hypot(...weights);
      return { unit: weights.map((x) => x / norm), sketch: sketchOf(scores) };
    });
    const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => {
      let sum = 0;
      for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
      return sum;
    };
    let [error, count] = [0, 0];
    for (const [i, a] of rows.entries()) {
      for (const b of rows.slice(i)) {
        error += dot(a.sketch, b.sketch) - dot(a.unit, b.unit);
        count++;
      }
    }
    expect(Math.abs(error / count)).toBeLessThan(0.05);
  });

  it('does not change when all scores rise, however far', () => {
    const scores = Float32Array.from({ length: 300 }, (_, j) => Math.round(Math.sin(j) * 256) / 64);
    expect(sketchOf(scores.map((x) => x + 512))).toEqual(sketchOf(scores.map((x) => x - 512)));
  });
});

describe('Ranking', () => {
  it('takes the keys that sorting takes, ties included', () => {
    const score = fc.oneof(fc.integer({ min: -4, max: 4 }), fc.float({ min: -30, max: 30, noNaN: true }));
    fc.assert(
      fc.property(
        fc.array(score, { minLength: 2, maxLength: 400 }),
        fc.array(fc.nat(398), { maxLength: 6 }),
        (list, cuts) => {
          const scores = Float32Array.from(list);
          const n = scores.length;
          const ladder = [...new Set(cuts.map((cut) => 1 + (cut % (n - 1))))].sort((a, b) => a - b);
          const ranking = new Ranking();
          ranking.load(scores);
          const positions = new Int32Array(n);
          ranking.writeTiers(ladder, positions);
          for (const [rung, keys] of ladder.entries()) {
            const { sinks, recent } = sinksAndRecent(keys);
            const middle = Array.from({ length: n - sinks - recent }, (_, i) => i + sinks);
            middle.sort((a, b) => (scores[b] as number) - (scores[a] as number) || a - b);
            const kept = Array.from({ length: n }, (_, i) => i).filter((i) => i < sinks || i >= n - recent);
            const expected = [...kept, ...middle.slice(0, keys - kept.length)].sort((a, b) => a - b);
            expect(Array.from(positions.subarray(0, keys)).sort((a, b) => a - b)).toEqual(expected);
            const tier = positions.subarray(ladder[rung - 1] ?? 0, keys);
            expect(tier.every((position, i) => i === 0 || position > (tier[i - 1] as number))).toBe(true);
          }
        },
      ),
    );
  });

  it('counts the keys for a share of the softmax as sorting does', () => {
    const spread = fc.array(fc.float({ min: -12, max: 12, noNaN: true }), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(spread, fc.double({ min: 0.001, max: 0.9, noNaN: true }), (list, share) => {
        const scores = Float32Array.from(list);
        const ranking = new Ranking();
        const { total, max } = ranking.load(scores);
        const target = new Float32Array(1);
        ranking.keysForMass([share], target);
        const weights = Array.from(scores, (score) => Math.exp(score - max)).sort((a, b) => b - a);
        const unread = (keys: number) => weights.slice(keys).reduce((sum, x) => sum + x, 0) / total;
        const [keys = 0] = target;
        expect(unread(keys)).toBeLessThanOrEqual(share * (1 + 1e-9));
        if (keys > 1) expect(unread(keys - 1)).toBeGreaterThan(share * (1 - 1e-9));
      }),
    );
  });
});
