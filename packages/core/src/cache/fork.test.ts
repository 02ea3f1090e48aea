/** Forks: caches that share pages, whatever is done to each of them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  adoptModel,
  createModel,
  expectContents,
  forkModel,
  restoreModel,
  SMALL_SHAPE,
  SMALL_SLAB_BYTES,
} from '../../test/cache-model.ts';
import { expectError } from '../../test/errors.ts';
import { createRandom } from '../../test/random.ts';
import { PAGE_KEYS, PRECISIONS } from '../kernels/layout.ts';
import { createCachePool } from './cache-pool.ts';
import { releasePage } from './page-bytes.ts';

const TINY_ARENA = 2 ** 17;

describe.for(PRECISIONS)('a fork of a cache in %s', (precision) => {
  it('holds the same keys without a copy, and each goes on by itself', () => {
    const pool = createCachePool({ ...SMALL_SHAPE, precision });
    const parent = createModel(createRandom(1), { pool });
    parent.append(200);
    const before = pool.bytes;
    const fork = forkModel(parent);
    // Its page tables, and nothing else.
    expect(pool.bytes - before).toBeLessThan(2 * 4 * (SMALL_SHAPE.capacity / PAGE_KEYS + 1));
    expect(fork.cache.norms(1, 2)).toEqual(parent.cache.norms(1, 2));
    expectContents(fork);
    fork.append(100);
    parent.append(3);
    expectContents(fork);
    expectContents(parent);
    parent.cache.dispose();
    expectContents(fork);
    fork.cache.dispose();
    expect(pool.bytes).toBe(0);
  });

  it('reads what it had when its parent was cut and has gone on', () => {
    const parent = createModel(createRandom(2), { precision });
    parent.append(300);
    const fork = forkModel(parent);
    parent.truncate(130);
    parent.append(170);
    expectContents(fork);
    fork.truncate(40);
    fork.append(100);
    expectContents(fork);
    expectContents(parent);
  });

  it('takes one copy of the page that is open, and only when one of the two writes', () => {
    const pool = createCachePool({ ...SMALL_SHAPE, precision });
    const parent = createModel(createRandom(3), { pool });
    parent.append(3 * PAGE_KEYS - 10);
    const forks = Array.from({ length: 4 }, () => forkModel(parent));
    const shared = pool.bytes;
    const page = pool.slabBytes + pool.openBytes;
    for (const [i, fork] of forks.entries()) {
      fork.append(1);
      expect(pool.bytes - shared).toBe((i + 1) * page);
    }
    // The parent has the first copy to itself by now.
    parent.append(1);
    expect(pool.bytes - shared).toBe(4 * page);
    const { memory } = parent.cache;
    expect([memory.shared, memory.own + memory.shared]).toEqual([2 * pool.slabBytes, parent.cache.bytes]);
    const parts = [parent, ...forks].map(({ cache }) => cache.memory.proportional);
    expect(parts.reduce((sum, part) => sum + part, 0)).toBeCloseTo(pool.bytes, 6);
    for (const model of [parent, ...forks]) expectContents(model);
  });
});

describe('caches of one pool', () => {
  it('use the memory that another has let go of', () => {
    const pool = createCachePool(SMALL_SHAPE);
    const first = createModel(createRandom(4), { pool });
    first.append(500);
    const { totalBytes } = pool;
    const sizes = pool.regions.map(({ arena }) => arena.memory.buffer.byteLength);
    for (let i = 0; i < 3; i++) {
      first.truncate(0);
      const second = createModel(createRandom(5 + i), { pool });
      second.append(400);
      expect(pool.totalBytes).toBeLessThanOrEqual(totalBytes + 64);
      expectContents(second);
      second.cache.dispose();
      first.append(500);
      expectContents(first);
    }
    expect(pool.regions.map(({ arena }) => arena.memory.buffer.byteLength)).toEqual(sizes);
  });

  it('lie in pieces over regions that are nearly full', () => {
    const pool = createCachePool({ ...SMALL_SHAPE, arenaBytes: TINY_ARENA });
    const models = [6, 7, 8].map((seed) => createModel(createRandom(seed), { pool }));
    for (let i = 0; i < 8; i++) for (const model of models) model.append(50);
    models[0]?.truncate(20);
    models[1]?.append(400);
    for (const model of models) expectContents(model);
    const regions = models[1]?.cache.segments(800).map(({ region }) => region) ?? [];
    expect(new Set(regions).size).toBeLessThan(regions.length);
  });

  it('are refused a fork while keys are on their way', () => {
    const { cache } = createModel(createRandom(9));
    cache.reserve(10);
    expectError('invalid-argument', () => cache.fork());
    cache.truncate(0);
    cache.fork().dispose();
  });

  it('are as they were where a page could not be copied', () => {
    const memoryLimit = 3 * SMALL_SLAB_BYTES;
    const parent = createModel(createRandom(10), { arenaBytes: 2 ** 16 * 2, memoryLimit });
    parent.append(100);
    const forks = Array.from({ length: 3 }, () => forkModel(parent));
    // Nothing is left of the only arena that the platform gives.
    const { regions } = parent.cache;
    for (const { arena } of regions) while (arena.allocate(SMALL_SLAB_BYTES) !== undefined);
    const before = regions.length;
    forks[0]?.append(1);
    expect(regions.length).toBe(before + 1);
    expectError('cache-out-of-memory', () => forks[0]?.append(100));
    for (const model of [parent, ...forks]) expectContents(model);
  });
});

describe.for(PRECISIONS)('pages outside of a cache in %s', (precision) => {
  it('come back as they were, those that are full and the one that is not', () => {
    const model = createModel(createRandom(12), { precision });
    for (const count of [0, 10, 54, 64, 1]) {
      model.append(count);
      const copy = restoreModel(model);
      expectContents(copy);
      expect(copy.cache.norms(1, 1)).toEqual(model.cache.norms(1, 1));
      copy.append(100);
      expectContents(copy);
    }
  });

  it('give the rows that they hold, or stand for, all layers at once', () => {
    const model = createModel(createRandom(17), { precision });
    model.append(3 * PAGE_KEYS + 10);
    model.truncate(2 * PAGE_KEYS + 50);
    const { keyValueHeads, headDim } = SMALL_SHAPE;
    for (const [page, count] of [
      [0, PAGE_KEYS],
      [2, 50],
    ] as const) {
      for (const [layer, rows] of model.cache.pageRows(page).entries()) {
        for (let head = 0; head < keyValueHeads; head++) {
          for (const what of ['keys', 'values'] as const) {
            const expected = model.cache.read(layer, head, what, page * PAGE_KEYS, page * PAGE_KEYS + count);
            const actual = Float32Array.from(expected, (_, i) => {
              const [row, d] = [Math.floor(i / headDim), i % headDim];
              return rows[what][(row * keyValueHeads + head) * headDim + d] as number;
            });
            for (const [i, x] of actual.entries()) expect(x).toBeCloseTo(expected[i] as number, 5);
          }
        }
      }
    }
  });

  it('are shared while they are held, and free when nobody holds or reads them', () => {
    const pool = createCachePool({ ...SMALL_SHAPE, precision });
    const model = createModel(createRandom(13), { pool });
    model.append(200);
    const held = [0, 1, 2].map((page) => model.cache.holdPage(page));
    const others = [1, 3].map((count) => adoptModel(model, held.slice(0, count)));
    model.cache.dispose();
    for (const other of others) {
      expectContents(other);
      other.append(70);
      expectContents(other);
      other.cache.dispose();
    }
    expect(pool.bytes).toBe(held.reduce((sum, { bytes }) => sum + bytes, 0));
    for (const page of held) releasePage(page);
    expect(pool.bytes).toBe(0);
  });

  it('are refused where they do not fit, and nothing changes', () => {
    const model = createModel(createRandom(14), { precision });
    model.append(130);
    const { cache } = model;
    const page = cache.copyPage(0);
    const held = cache.holdPage(0);
    expectError('invalid-argument', () => cache.appendPage(page));
    expectError('invalid-argument', () => cache.sharePages([held]));
    expectError('invalid-argument', () => cache.copyPage(3));
    expectError('invalid-argument', () => cache.holdPage(2));
    model.truncate(128);
    for (const wrong of [
      { keys: 0 },
      { keys: 65 },
      { bytes: page.bytes.subarray(1) },
      { norms: new Float64Array(1) },
    ]) {
      expectError('invalid-argument', () => cache.appendPage({ ...page, ...wrong }));
    }
    const other = createModel(createRandom(15), { precision }).cache;
    expectError('invalid-argument', () => other.sharePages([held]));
    const small = createModel(createRandom(16), { precision, capacity: 100 }).cache;
    small.appendPage(page);
    expectError('cache-full', () => small.appendPage(page));
    expectContents(model);
    releasePage(held);
  });
});

/** Sequences of a precision: `npm run torture:cache` tries 10,000 in all. */
const SEQUENCES = Number(process.env.KEYSIEVE_SEQUENCES ?? 40);

type Step =
  | { kind: 'fork' | 'dispose' | 'restore' | 'share'; which: number }
  | { kind: 'append' | 'truncate' | 'abandon'; which: number; share: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constantFrom('fork' as const, 'dispose' as const, 'restore' as const, 'share' as const),
    which: fc.nat(7),
  }),
  fc.record({
    kind: fc.constantFrom('append' as const, 'truncate' as const, 'abandon' as const),
    which: fc.nat(7),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
);

describe('any sequence of forking, appending, cutting, abandoning, copying, sharing and disposing', () => {
  it.for(PRECISIONS)('leaves what plain arrays hold, and no byte when all are gone, in %s', (precision) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), fc.boolean(), (steps, tiny) => {
        const shape = { ...SMALL_SHAPE, layers: 1, keyValueHeads: 1 };
        const pool = createCachePool({ ...shape, precision, ...(tiny && { arenaBytes: 2 ** 16 }) });
        const random = createRandom(11);
        const models = [createModel(random, { pool, capacity: 500 })];
        for (const { kind, which, ...rest } of steps) {
          const index = which % models.length;
          const model = models[index] as (typeof models)[number];
          const share = 'share' in rest ? rest.share : 0;
          if (kind === 'fork' && models.length < 6) models.push(forkModel(model));
          if (kind === 'restore' && models.length < 6) models.push(restoreModel(model, { pool, capacity: 500 }));
          if (kind === 'share' && models.length < 6) {
            const pages = Math.floor(model.cache.length / PAGE_KEYS);
            const held = Array.from({ length: pages }, (_, page) => model.cache.holdPage(page));
            models.push(adoptModel(model, held));
            for (const page of held) releasePage(page);
          }
          if (kind === 'dispose' && models.length > 1) models.splice(index, 1)[0]?.cache.dispose();
          if (kind === 'append') model.append(Math.min(Math.floor(share * 150), 500 - model.cache.length));
          if (kind === 'truncate') model.truncate(Math.floor(share * model.cache.length));
          if (kind === 'abandon') model.abandon(Math.min(Math.floor(share * 150), 500 - model.cache.length));
        }
        for (const model of models) {
          expectContents(model);
          model.cache.dispose();
        }
        expect(pool.bytes).toBe(0);
      }),
      { numRuns: SEQUENCES, seed: 5 },
    );
  });
});
