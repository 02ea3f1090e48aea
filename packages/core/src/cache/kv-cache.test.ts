import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createModel, expectContents, SMALL_SHAPE, SMALL_SLAB_BYTES, snapshot } from '../../test/cache-model.ts';
import { createRandom } from '../../test/random.ts';
import { EXACT_PRECISIONS, PAGE_KEYS, PRECISIONS } from '../kernels/layout.ts';
import { KvCache } from './kv-cache.ts';

/** Small enough that a region holds four slabs or so. */
const TINY_ARENA = 2 ** 17;
const WIDTH = SMALL_SHAPE.keyValueHeads * SMALL_SHAPE.headDim;

/** Where each page of the first head lies: its region and its address there. */
function pageAddresses(cache: KvCache): string[] {
  return cache.segments(cache.length).flatMap(({ region, table, from, to }) => {
    const { arena } = cache.regions[region] as KvCache['regions'][number];
    const pages = Array.from({ length: Math.ceil((to - from) / PAGE_KEYS) }, (_, i) => from / PAGE_KEYS + i);
    return pages.map((page) => `${region}:${arena.views().u32[table / 4 + page]}`);
  });
}

describe.for(EXACT_PRECISIONS)('a cache in %s', (precision) => {
  it.for([
    ['one region', {}],
    ['several regions', { arenaBytes: TINY_ARENA }],
    ['memory of one thread', { shared: false }],
  ] as const)('gives back what was written, in %s', ([, options]) => {
    const model = createModel(createRandom(1), { precision, ...options });
    for (const count of [1, 62, 1, 1, 64, 65, 0, 200, 128, 3]) model.append(count);
    expect(model.cache.length).toBe(525);
    expectContents(model);
    expect(model.cache.regions.length > 1).toBe('arenaBytes' in options);
    const buffer = model.cache.regions[0]?.arena.memory.buffer;
    expect(buffer instanceof SharedArrayBuffer).toBe(!('shared' in options));
  });
});

describe('growing', () => {
  it('takes one slab a page, and leaves where they are those that it has', () => {
    const model = createModel(createRandom(2), { arenaBytes: TINY_ARENA });
    let pages: string[] = [];
    let bytes = model.cache.bytes;
    for (let n = 1; n <= 400; n += 7) {
      model.append(n === 1 ? 1 : 7);
      const now = pageAddresses(model.cache);
      expect(now.slice(0, pages.length)).toEqual(pages);
      expect(now.length).toBe(Math.ceil(n / PAGE_KEYS));
      // A page more may bring a region with it, whose table counts too; no page more, no byte more.
      const grown = model.cache.bytes - bytes;
      if (now.length === pages.length) expect(grown).toBe(0);
      else expect(grown).toBeGreaterThanOrEqual(SMALL_SLAB_BYTES);
      pages = now;
      bytes = model.cache.bytes;
    }
    expectContents(model);
  });

  it('gives segments that cover the keys once and in order, each from the edge of a page', () => {
    const model = createModel(createRandom(3), { arenaBytes: TINY_ARENA });
    model.append(500);
    for (const n of [1, 64, 65, 200, 499, 500]) {
      const segments = model.cache.segments(n);
      expect(segments.map(({ to }) => to).slice(0, -1)).toEqual(segments.slice(1).map(({ from }) => from));
      expect(segments[0]?.from).toBe(0);
      expect(segments.at(-1)?.to).toBe(n);
      expect(segments.every(({ from, to }) => from % PAGE_KEYS === 0 && from < to)).toBe(true);
      expect(segments.map(({ region }) => region)).toEqual(segments.map((_, i) => i));
    }
    expect(model.cache.segments(0)).toEqual([]);
  });

  it('uses again the memory of keys that were cut off', () => {
    const model = createModel(createRandom(4), { arenaBytes: TINY_ARENA });
    model.append(400);
    const { bytes } = model.cache;
    const sizes = model.cache.regions.map(({ arena }) => arena.memory.buffer.byteLength);
    for (const length of [399, 320, 129, 64, 1, 0]) {
      model.truncate(length);
      expect(model.cache.length).toBe(length);
      expectContents(model);
      model.append(400 - length);
      expectContents(model);
      expect(model.cache.bytes).toBe(bytes);
      expect(model.cache.regions.map(({ arena }) => arena.memory.buffer.byteLength)).toEqual(sizes);
    }
  });

  it('gives the memory of pages that were cut off back at once', () => {
    const model = createModel(createRandom(5));
    model.append(65);
    const { bytes } = model.cache;
    model.truncate(64);
    expect(model.cache.bytes).toBe(bytes - SMALL_SLAB_BYTES);
  });

  it('is what plain arrays are, after any appending and cutting', () => {
    const step = fc.record({ append: fc.boolean(), share: fc.double({ min: 0, max: 1, noNaN: true }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), fc.boolean(), (steps, tiny) => {
        const model = createModel(createRandom(6), tiny ? { arenaBytes: TINY_ARENA } : {});
        for (const { append, share } of steps) {
          if (append) model.append(Math.min(Math.floor(share * 150), 500 - model.cache.length));
          else model.truncate(Math.floor(share * model.cache.length));
        }
        expectContents(model);
        expect(model.cache.reserved).toBe(model.cache.length);
      }),
      { numRuns: 25, seed: 4 },
    );
  });
});

describe('what was not committed', () => {
  it('is not part of the cache, and is gone when the cache is cut to its length', () => {
    const model = createModel(createRandom(7), { arenaBytes: TINY_ARENA });
    model.append(100);
    const before = snapshot(model.cache);
    model.cache.reserve(300);
    const rows = new Float32Array(300 * WIDTH).fill(1000);
    model.cache.write(0, 100, rows, rows);
    model.cache.write(1, 100, rows, rows);
    expect(model.cache.length).toBe(100);
    expectContents(model);
    model.cache.truncate(100);
    // A region that was added stays, for the next keys.
    const { bytes, regions, ...after } = snapshot(model.cache);
    expect(before).toMatchObject(after);
    expect(regions).toBeGreaterThanOrEqual(before.regions);
    expect(bytes).toBeLessThan(before.bytes + SMALL_SLAB_BYTES);
    model.append(300);
    expectContents(model);
  });

  it('can be written over, before it is committed', () => {
    const model = createModel(createRandom(8));
    model.cache.reserve(70);
    const rows = new Float32Array(70 * WIDTH).fill(3);
    for (const layer of [0, 1]) model.cache.write(layer, 0, rows, rows);
    model.append(70);
    expectContents(model);
  });

  it('can be committed in parts', () => {
    const model = createModel(createRandom(9));
    const { cache } = model;
    cache.reserve(100);
    const rows = createRandom(10).normals(100 * WIDTH);
    for (const layer of [0, 1]) cache.write(layer, 0, rows, rows);
    cache.commit(40);
    expect([cache.length, cache.reserved]).toEqual([40, 100]);
    cache.commit(100);
    expect(cache.read(1, 2, 'keys', 99, 100)).toHaveLength(SMALL_SHAPE.headDim);
    expect(cache.length).toBe(100);
  });
});

describe('norms', () => {
  it.for(PRECISIONS)('are no smaller than those of any row, in %s, and near them', (precision) => {
    const random = createRandom(11);
    const model = createModel(random, { precision });
    for (const count of [1, 70, 30]) model.append(count);
    for (let layer = 0; layer < 2; layer++) {
      for (let head = 0; head < 3; head++) {
        const bound = model.cache.norms(layer, head);
        for (const what of ['keys', 'values'] as const) {
          const rows = model.cache.read(layer, head, what, 0, 101);
          let largest = 0;
          for (let i = 0; i < rows.length; i += 16)
            largest = Math.max(largest, Math.hypot(...rows.subarray(i, i + 16)));
          expect(bound[what]).toBeGreaterThanOrEqual(largest);
          // Codes may have lengthened the longest row, by little, and may have shortened it.
          expect(bound[what]).toBeLessThan(largest * (precision === 'int8' ? 1.2 : 1.01));
        }
      }
    }
  });

  it('bound numbers that rounding makes larger: the least halves, and the middle between two', () => {
    for (const x of [2 ** -25 * 1.001, 2 ** -24 * 1.5001, 1 + 2 ** -11 + 2 ** -20, 65_519]) {
      const cache = new KvCache({ layers: 1, keyValueHeads: 1, headDim: 256, capacity: 1 });
      cache.reserve(1);
      const row = new Float32Array(256).fill(x);
      cache.write(0, 0, row, row);
      expect(cache.norms(0, 0).keys).toBeGreaterThanOrEqual(Math.hypot(...cache.read(0, 0, 'keys', 0, 1)));
    }
  });

  it('are forgotten with the keys, when all are cut off', () => {
    const model = createModel(createRandom(12));
    const none = model.cache.norms(0, 0);
    model.append(10);
    model.truncate(0);
    expect(model.cache.norms(0, 0)).toEqual(none);
  });

  it.each([0, 20])(
    'bound other rows that follow a cut to %i, where there was a cut to a greater length before',
    (cut) => {
      const cache = new KvCache({ layers: 1, keyValueHeads: 1, headDim: 8, precision: 'f32', capacity: 256 });
      const fill = (value: number) => {
        const [from, to] = [cache.length, 45];
        const rows = new Float32Array((to - from) * 8).fill(value);
        cache.reserve(to - from);
        cache.write(0, from, rows, rows);
        cache.commit(to);
        cache.truncate(40);
      };
      fill(1);
      cache.truncate(cut);
      fill(100);
      const norm = 100 * Math.sqrt(8);
      expect(cache.norms(0, 0).keys).toBeGreaterThanOrEqual(norm);
      expect(cache.norms(0, 0).values).toBeGreaterThanOrEqual(norm);
      if (cut === 0) expect(cache.norms(0, 0).rmsValue).toBeCloseTo(norm, 3);
    },
  );

  it('are as they were when the cache is cut to the same length again, and bounds whatever it is cut to', () => {
    const model = createModel(createRandom(13));
    model.append(100);
    model.truncate(100);
    const before = model.cache.norms(1, 1);
    for (const count of [1, 3, 80]) {
      model.append(count);
      expect(model.cache.norms(1, 1)).not.toEqual(before);
      model.truncate(100);
      expect(model.cache.norms(1, 1)).toEqual(before);
    }
    for (const length of [90, 70]) {
      model.truncate(length);
      model.append(200);
      model.truncate(100);
      const { keys } = model.cache.norms(0, 0);
      for (let at = 0; at < 100; at++) {
        expect(keys).toBeGreaterThanOrEqual(Math.hypot(...model.cache.read(0, 0, 'keys', at, at + 1)));
      }
    }
  });
});
