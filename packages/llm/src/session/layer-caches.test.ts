import { afterEach, describe, expect, it } from 'vitest';
import { naiveAttention } from '../../test/naive-attention.ts';
import { createRandom } from '../../test/random.ts';
import type { ModelConfig, Projections } from '../model/index.ts';
import { createEngines } from './engines.ts';
import {
  createLayerCaches,
  type LayerCaches,
  type LayerCachesOptions,
  layerCacheBytes,
  layerGroups,
} from './layer-caches.ts';

const WINDOW = 70;
const SINKS = [0.5, 3];
const shape = { heads: 2, keyValueHeads: 1, headDim: 8, layers: 4 };
const layerAttention = [{ window: WINDOW }, {}, { window: WINDOW, softCap: 3 }, { window: WINDOW }];
const config = { ...shape, layerAttention } as unknown as ModelConfig;

const SIZES = { capacity: 4000, threads: 1, precision: 'f32', encodings: ['sign', 'int4'], timed: false } as const;

const random = createRandom(5);
const projections = (count: number): Projections => {
  const rows = (heads: number) => Float32Array.from({ length: count * heads * 8 }, () => 2 * random.signed());
  return { q: rows(2), k: rows(1), v: rows(1) };
};

const open: LayerCaches[] = [];

async function createCaches(options: Partial<LayerCachesOptions> = {}): Promise<LayerCaches> {
  const caches = await createLayerCaches({ config, engines: createEngines(), ...SIZES, ...options });
  open.push(caches);
  return caches;
}

afterEach(async () => {
  for (const caches of open.splice(0)) await caches.dispose();
});

/** Attends with some tokens in a layer, by a policy that would leave keys out. */
function attend(caches: LayerCaches, layer: number, position: number, { q, k, v }: Projections, policy = 'sieve') {
  const place = caches.placeOf(layer);
  place.attention.cache.write(place.layer, position, k, v);
  return place.attention.attend({ layer: place.layer, position, queries: q, policy: { policy } });
}

/** Reads tokens with keys and values that are the same in all layers. */
function read(caches: LayerCaches, position: number, rows: Projections): void {
  caches.reserve(rows.q.length / 16);
  for (let layer = 0; layer < 4; layer++) attend(caches, layer, position, rows);
  caches.commit(position + rows.q.length / 16);
}

describe('the caches of a session', () => {
  it('are one for each rule that layers follow', () => {
    expect(layerGroups(config).map(({ layers }) => layers)).toEqual([[0, 3], [1], [2]]);
    const sinks = [SINKS, [1, 2]];
    const withSinks = [{ sinks: sinks[0] as number[] }, { window: 5 }, { sinks: sinks[1] as number[] }];
    expect(layerGroups({ layerAttention: withSinks })).toEqual([
      { layers: [0, 2], window: undefined, softCap: undefined, sinks },
      { layers: [1], window: 5, softCap: undefined, sinks: undefined },
    ]);
  });

  it('have the outputs of a plain attention, and reports that say which rows are windowed', async () => {
    const sinks = { ...config, layerAttention: [...layerAttention.slice(0, 3), { sinks: SINKS }] } as ModelConfig;
    const caches = await createCaches({ config: sinks });
    const expected = naiveAttention(sinks);
    let position = 0;
    for (const count of [3, 1, 100, 200, 1, 1]) {
      caches.reserve(count);
      for (let layer = 0; layer < 4; layer++) {
        const rows = projections(count);
        const policy = layer === 1 || layer === 3 ? 'dense' : 'sieve';
        const { outputs, report } = attend(caches, layer, position, rows, policy);
        const reference = (await expected(layer, rows)) as Float32Array;
        for (const [i, value] of outputs.entries()) expect(value).toBeCloseTo(reference[i] as number, 4);
        expect(report.rowsWindowed).toBe(layer === 0 || layer === 2 ? 2 * count : 0);
      }
      position += count;
      caches.commit(position);
    }
  });

  it('take what they are predicted to, those with a window no more than it and a page', async () => {
    const caches = await createCaches();
    for (let position = 0; position < 3840; position += 128) read(caches, position, projections(128));
    const predicted = layerCacheBytes({ config, ...SIZES, capacity: 3840 }, 128).cache;
    const actual = [0, 1, 2].reduce((sum, layer) => sum + caches.placeOf(layer).attention.cache.bytes, 0);
    expect(actual).toBeGreaterThan(0.8 * predicted);
    expect(actual).toBeLessThan(1.2 * predicted);
    const { cache } = caches.placeOf(0).attention;
    expect(cache.length - cache.firstKey).toBeLessThanOrEqual(WINDOW + 64);
  });

  it('are cut together or not at all: to where windows still have what would be seen, or to nothing', async () => {
    const caches = await createCaches();
    read(caches, 0, projections(500));
    const { minLength } = caches;
    expect(minLength).toBeGreaterThan(400);
    expect(() => caches.truncate(minLength - 1)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
    const lengths = () => [0, 1, 2].map((layer) => caches.placeOf(layer).attention.cache.length);
    expect(lengths()).toEqual([500, 500, 500]);
    caches.truncate(minLength);
    expect(lengths()).toEqual([minLength, minLength, minLength]);
    caches.truncate(0);
    expect(caches.minLength).toBe(0);
  });

  it('have room in all of them or in none', async () => {
    const caches = await createCaches({ memoryLimit: 400_000 });
    let position = 0;
    const fill = () => {
      for (; position < 4000; position += 64) read(caches, position, projections(64));
    };
    expect(fill).toThrow(expect.objectContaining({ code: 'cache-out-of-memory' }));
    expect(position).toBeGreaterThan(500);
    for (const layer of [0, 1, 2]) {
      const { length, reserved } = caches.placeOf(layer).attention.cache;
      expect([length, reserved]).toEqual([position, position]);
    }
    const bytes = [0, 1, 2].reduce((sum, layer) => sum + caches.placeOf(layer).attention.cache.bytes, 0);
    expect(bytes).toBeLessThanOrEqual(400_000);
  });

  it('are forked with what they hold, and each goes on by itself', async () => {
    const caches = await createCaches();
    const past = projections(300);
    read(caches, 0, past);
    const fork = caches.fork({});
    open.push(fork);
    const [ours, theirs] = [projections(3), projections(3)];
    read(caches, 300, ours);
    fork.reserve(3);
    for (const layer of [0, 2]) {
      const expected = naiveAttention(config);
      await expected(layer, past);
      const reference = (await expected(layer, theirs)) as Float32Array;
      const { outputs } = attend(fork, layer, 300, theirs);
      for (const [i, value] of outputs.entries()) expect(value).toBeCloseTo(reference[i] as number, 4);
    }
  });
});
