/** A cache and, beside it, what it should hold: plain arrays that grow by concatenation. */
import { expect } from 'vitest';
import { KvCache, type KvCacheOptions } from '../src/cache/kv-cache.ts';
import type { SharedPage } from '../src/cache/page-bytes.ts';
import type { SlabPool } from '../src/cache/slab-pool.ts';
import { PAGE_KEYS } from '../src/kernels/layout.ts';
import { roundToFloat16 } from './float16.ts';
import type { Random } from './random.ts';

/** What the cache should hold of a layer, rounded as it rounds: (n, keyValueHeads, headDim) each. */
interface LayerRows {
  keys: Float32Array;
  values: Float32Array;
}

export interface CacheModel {
  readonly random: Random;
  readonly cache: KvCache;
  readonly layers: readonly LayerRows[];
  /** Reserves, writes and commits `count` random keys. */
  append(count: number): void;
  truncate(length: number): void;
  /** Reserves and writes `count` random keys, and gives them up. */
  abandon(count: number): void;
  /** The rows of one head at positions [from, to), as the cache should give them. */
  rows(layer: number, head: number, what: 'keys' | 'values', from: number, to: number): Float32Array;
}

export const SMALL_SHAPE = { layers: 2, keyValueHeads: 3, headDim: 16, capacity: 1000 } as const;

/** Bytes of a page of all layers and heads of `SMALL_SHAPE` in f16. */
export const SMALL_SLAB_BYTES = 2 * 3 * 2 * 64 * 16 * 2;

export function createModel(random: Random, options: Partial<KvCacheOptions> & { pool?: SlabPool } = {}): CacheModel {
  return modelOf(random, new KvCache({ ...SMALL_SHAPE, ...options }));
}

/** A fork of the cache, which should hold what the cache holds. */
export const forkModel = ({ random, cache, layers }: CacheModel): CacheModel =>
  modelOf(
    random,
    cache.fork(),
    layers.map((stored) => ({ ...stored })),
  );

/** A new cache of copies of all pages. */
export function restoreModel(
  { random, cache, layers }: CacheModel,
  options: Partial<KvCacheOptions> & { pool?: SlabPool } = {},
): CacheModel {
  const restored = new KvCache({ ...SMALL_SHAPE, ...cache.shape, ...options });
  for (let page = 0; page * PAGE_KEYS < cache.length; page++) restored.appendPage(cache.copyPage(page));
  return modelOf(
    random,
    restored,
    layers.map((stored) => ({ ...stored })),
  );
}

/** A new cache of pages of a model that are held, from the first on. */
export function adoptModel({ random, cache, layers }: CacheModel, pages: readonly SharedPage[]): CacheModel {
  const { pool, capacity, shape } = cache;
  const adopted = new KvCache({ pool, capacity });
  adopted.sharePages(pages);
  const numbers = pages.length * PAGE_KEYS * shape.keyValueHeads * shape.headDim;
  const rows = layers.map(({ keys, values }) => ({ keys: keys.slice(0, numbers), values: values.slice(0, numbers) }));
  return modelOf(random, adopted, rows);
}

function modelOf(random: Random, cache: KvCache, inherited?: LayerRows[]): CacheModel {
  const { layers, keyValueHeads, headDim, precision } = cache.shape;
  const width = keyValueHeads * headDim;
  const rows =
    inherited ??
    Array.from({ length: layers }, (): LayerRows => ({ keys: new Float32Array(), values: new Float32Array() }));
  const round = (numbers: Float32Array) => (precision === 'f16' ? roundToFloat16(numbers) : numbers);
  return {
    random,
    cache,
    layers: rows,
    append(count) {
      const position = cache.length;
      cache.reserve(count);
      for (const [layer, stored] of rows.entries()) {
        const [keys, values] = [random.normals(count * width), random.normals(count * width)];
        cache.write(layer, position, keys, values);
        stored.keys = concatenate(stored.keys, round(keys));
        stored.values = concatenate(stored.values, round(values));
      }
      cache.commit(position + count);
    },
    abandon(count) {
      const position = cache.length;
      cache.reserve(count);
      for (const layer of rows.keys()) {
        cache.write(layer, position, random.normals(count * width), random.normals(count * width));
      }
      cache.truncate(position);
    },
    truncate(length) {
      cache.truncate(length);
      for (const stored of rows) {
        stored.keys = stored.keys.slice(0, length * width);
        stored.values = stored.values.slice(0, length * width);
      }
    },
    rows(layer, head, what, from, to) {
      const all = (rows[layer] as LayerRows)[what];
      const numbers = new Float32Array((to - from) * headDim);
      for (let position = from; position < to; position++) {
        const at = position * width + head * headDim;
        numbers.set(all.subarray(at, at + headDim), (position - from) * headDim);
      }
      return numbers;
    },
  };
}

const maxDifference = (a: Float32Array, b: Float32Array): number =>
  a.reduce((max, x, i) => Math.max(max, Math.abs(x - (b[i] as number))), 0);

export function concatenate(a: Float32Array, b: Float32Array): Float32Array {
  const both = new Float32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** Errors of numbers of an int8 cache: half a step of max |y| / 128, once or, where pages were cut, more often. */
const INT8_ERROR = 0.3;

/** Throws unless the cache gives back all that it should hold: of an int8 cache, to its rounding. */
export function expectContents({ cache, rows }: CacheModel): void {
  const { layers, keyValueHeads } = cache.shape;
  for (let layer = 0; layer < layers; layer++) {
    for (let head = 0; head < keyValueHeads; head++) {
      for (const what of ['keys', 'values'] as const) {
        const actual = cache.read(layer, head, what, 0, cache.length);
        const expected = rows(layer, head, what, 0, cache.length);
        const name = `layer ${layer}, head ${head}, ${what}`;
        if (cache.shape.precision !== 'int8') expect(actual, name).toEqual(expected);
        else expect(maxDifference(actual, expected), name).toBeLessThan(INT8_ERROR);
      }
    }
  }
}

/** All that can be told of a cache from outside: two equal snapshots are the same state. */
export function snapshot(cache: KvCache) {
  const { layers, keyValueHeads } = cache.shape;
  const heads = Array.from({ length: layers * keyValueHeads }, (_, i) => [
    Math.floor(i / keyValueHeads),
    i % keyValueHeads,
  ]) as [number, number][];
  return {
    length: cache.length,
    reserved: cache.reserved,
    bytes: cache.bytes,
    regions: cache.regions.length,
    segments: cache.segments(cache.length),
    norms: heads.map(([layer, head]) => cache.norms(layer, head)),
    rows: heads.flatMap(([layer, head]) =>
      (['keys', 'values'] as const).map((what) => cache.read(layer, head, what, 0, cache.length)),
    ),
  };
}
