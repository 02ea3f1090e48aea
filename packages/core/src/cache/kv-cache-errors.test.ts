/** Memory that runs out, bad numbers and wrong calls: each a typed error, and the cache the same as before. */
import { describe, expect, it } from 'vitest';
import { createModel, expectContents, SMALL_SHAPE, SMALL_SLAB_BYTES, snapshot } from '../../test/cache-model.ts';
import { expectError } from '../../test/errors.ts';
import { createRandom } from '../../test/random.ts';
import { PAGE_KEYS } from '../kernels/layout.ts';
import { KvCache } from './kv-cache.ts';

/** Small enough that a region holds four slabs or so. */
const TINY_ARENA = 2 ** 17;
const WIDTH = SMALL_SHAPE.keyValueHeads * SMALL_SHAPE.headDim;

describe('an error leaves the cache as it was, and of use', () => {
  const cases: Record<string, { options: object; code: string; fail: (cache: KvCache) => void }> = {
    'more keys than the capacity': {
      options: {},
      code: 'cache-full',
      fail: (cache) => cache.reserve(901),
    },
    'more bytes than the limit, in one region': {
      options: { memoryLimit: 4 * SMALL_SLAB_BYTES + 20_000 },
      code: 'cache-out-of-memory',
      fail: (cache) => cache.reserve(300),
    },
    'more bytes than the limit, in several regions': {
      options: { memoryLimit: 4 * SMALL_SLAB_BYTES + 20_000, arenaBytes: TINY_ARENA },
      code: 'cache-out-of-memory',
      fail: (cache) => cache.reserve(300),
    },
    'a number that is not finite': {
      options: {},
      code: 'not-a-number',
      fail: (cache) => writeWith(cache, Number.NaN),
    },
    'an infinite number': {
      options: { precision: 'f32' },
      code: 'not-a-number',
      fail: (cache) => writeWith(cache, Number.NEGATIVE_INFINITY),
    },
    'a number too large for a half': {
      options: {},
      code: 'not-a-number',
      fail: (cache) => writeWith(cache, 65_520),
    },
  };

  /** Reserves and writes ten keys, with one bad number among the values of the last head. */
  function writeWith(cache: KvCache, bad: number): void {
    const { length } = cache;
    cache.reserve(10);
    const keys = new Float32Array(10 * WIDTH).fill(2);
    const values = keys.slice();
    values[values.length - 1] = bad;
    try {
      cache.write(0, length, keys, values);
    } finally {
      cache.truncate(length);
    }
  }

  it.for(Object.keys(cases))('%s', (name) => {
    const { options, code, fail } = cases[name] as (typeof cases)[string];
    const model = createModel(createRandom(13), options);
    model.append(100);
    const before = snapshot(model.cache);
    for (let i = 0; i < 3; i++) {
      expectError(code, () => fail(model.cache));
      expect(snapshot(model.cache)).toEqual(before);
    }
    model.append(20);
    expectContents(model);
  });

  it('names the number that was found', () => {
    const { cache } = createModel(createRandom(14));
    expect(expectError('not-a-number', () => writeWith(cache, Number.NaN)).found).toBe(Number.NaN);
    expect(expectError('not-a-number', () => writeWith(cache, 1e6)).found).toBe(1e6);
  });

  it('takes no more bytes than the limit, whatever the regions cost', () => {
    const memoryLimit = 9 * SMALL_SLAB_BYTES;
    const model = createModel(createRandom(15), { memoryLimit, arenaBytes: TINY_ARENA });
    expectError('cache-out-of-memory', () => {
      for (;;) model.append(64);
    });
    expect(model.cache.bytes).toBeLessThanOrEqual(memoryLimit);
    expect(model.cache.length).toBeGreaterThanOrEqual(5 * PAGE_KEYS);
    expectContents(model);
  });

  it('says so where an arena is too small for anything', () => {
    const { cache } = createModel(createRandom(16), { arenaBytes: 2 ** 16, capacity: 10 ** 6 });
    expectError('cache-out-of-memory', () => cache.reserve(1));
    const small = createModel(createRandom(17), { arenaBytes: 2 ** 16, headDim: 64 });
    const before = snapshot(small.cache);
    expectError('cache-out-of-memory', () => small.cache.reserve(1));
    expect(snapshot(small.cache)).toEqual(before);
  });

  it('says so where what lies beside the keys finds no room, and makes no region', () => {
    let fail = false;
    const onRegion = () => {
      if (fail) throw new Error('no room beside the keys');
    };
    const model = createModel(createRandom(18), { arenaBytes: TINY_ARENA, onRegion });
    model.append(100);
    const before = snapshot(model.cache);
    fail = true;
    expect(() => model.cache.reserve(800)).toThrow('no room beside the keys');
    expect(snapshot(model.cache)).toEqual(before);
    fail = false;
    model.append(800);
    expectContents(model);
  });
});

describe('a wrong call', () => {
  const good = { ...SMALL_SHAPE };
  it.for([
    { layers: 0 },
    { layers: 1.5 },
    { layers: Number.NaN },
    { layers: 10 ** 9 },
    { keyValueHeads: -1 },
    { keyValueHeads: 2 ** 40 },
    { headDim: 0 },
    { headDim: 12 },
    { headDim: 264 },
    { capacity: 0 },
    { capacity: Number.POSITIVE_INFINITY },
    { capacity: 2 ** 31 },
    { precision: 'f8' as 'f16' },
    { memoryLimit: Number.NaN },
    { memoryLimit: 0 },
    { arenaBytes: Number.NaN },
    { arenaBytes: 0 },
    { arenaBytes: -1 },
    { arenaBytes: 0.5 },
  ])('is a cache with %o', (options) => {
    const error = expectError('invalid-argument', () => new KvCache({ ...good, ...options }));
    expect(error.found).toBeDefined();
  });

  const rows = (count: number) => new Float32Array(count * WIDTH);
  const calls: Record<string, (cache: KvCache) => void> = {
    'to reserve a negative number of keys': (cache) => cache.reserve(-1),
    'to reserve half a key': (cache) => cache.reserve(0.5),
    'to reserve NaN keys': (cache) => cache.reserve(Number.NaN),
    'to write a part of a row': (cache) =>
      cache.write(0, 100, new Float32Array(WIDTH - 1), new Float32Array(WIDTH - 1)),
    'to write more keys than values': (cache) => cache.write(0, 100, rows(2), rows(1)),
    'to write a layer that is not there': (cache) => cache.write(2, 100, rows(1), rows(1)),
    'to write layer -1': (cache) => cache.write(-1, 100, rows(1), rows(1)),
    'to write layer 0.5': (cache) => cache.write(0.5, 100, rows(1), rows(1)),
    'to write over what is committed': (cache) => cache.write(0, 99, rows(1), rows(1)),
    'to write behind what is reserved': (cache) => cache.write(0, 109, rows(2), rows(2)),
    'to write at a fraction': (cache) => cache.write(0, 100.5, rows(1), rows(1)),
    'to commit what is not reserved': (cache) => cache.commit(111),
    'to commit fewer keys than there are': (cache) => cache.commit(99),
    'to commit a fraction': (cache) => cache.commit(100.5),
    'to cut to more than there is': (cache) => cache.truncate(101),
    'to cut to a negative length': (cache) => cache.truncate(-1),
    'to cut to a fraction': (cache) => cache.truncate(1.5),
    'to cut to NaN': (cache) => cache.truncate(Number.NaN),
    'to read what is not there': (cache) => cache.read(0, 0, 'keys', 0, 111),
    'to read backwards': (cache) => cache.read(0, 0, 'keys', 5, 4),
    'to read a head that is not there': (cache) => cache.read(0, 3, 'keys', 0, 1),
    'to read a layer that is not there': (cache) => cache.read(2, 0, 'keys', 0, 1),
  };
  it.for(Object.keys(calls))('is %s, and changes nothing', (name) => {
    const model = createModel(createRandom(19));
    model.append(100);
    model.cache.reserve(10);
    const before = snapshot(model.cache);
    expectError('invalid-argument', () => calls[name]?.(model.cache));
    expect(snapshot(model.cache)).toEqual(before);
  });
});

describe('dispose', () => {
  it('frees the memory, twice as well as once, and leaves nothing to call', () => {
    const { cache } = createModel(createRandom(20));
    cache.reserve(10);
    cache.dispose();
    cache.dispose();
    expect([cache.length, cache.reserved, cache.bytes, cache.regions.length]).toEqual([0, 0, 0, 0]);
    for (const call of [
      () => cache.reserve(1),
      () => cache.write(0, 0, new Float32Array(WIDTH), new Float32Array(WIDTH)),
      () => cache.commit(0),
      () => cache.truncate(0),
      () => cache.read(0, 0, 'keys', 0, 0),
      () => cache.segments(0),
      () => cache.norms(0, 0),
    ]) {
      expectError('disposed', call);
    }
  });

  it('comes with the end of a block', () => {
    let seen: KvCache;
    {
      using cache = createModel(createRandom(21)).cache;
      seen = cache;
    }
    expectError('disposed', () => seen.reserve(1));
  });
});
