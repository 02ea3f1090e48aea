/** A cache without exact rows: full pages quantized, the others beside them. */
import { describe, expect, it } from 'vitest';
import { snapshot } from '../../test/cache-model.ts';
import { expectError } from '../../test/errors.ts';
import { createRandom } from '../../test/random.ts';
import { exactPageBytes, PAGE_KEYS, pageLayout } from '../kernels/layout.ts';
import { KvCache, type KvCacheOptions } from './kv-cache.ts';

const SHAPE = { layers: 2, keyValueHeads: 1, headDim: 64, capacity: 1000, precision: 'int8' } as const;
const WIDTH = 64;

/** A cache and what was written into it: (n, width) of each layer. */
function createInt8(options: Partial<KvCacheOptions> = {}) {
  const random = createRandom(1);
  const cache = new KvCache({ ...SHAPE, ...options });
  const written = SHAPE.layers * 2;
  let rows = Array.from({ length: written }, () => [] as number[]);
  return {
    cache,
    append(count: number, commit = true) {
      const position = cache.length;
      cache.reserve(count);
      const added = rows.map(() => random.normals(count * WIDTH));
      for (let layer = 0; layer < SHAPE.layers; layer++) {
        cache.write(layer, position, added[2 * layer] as Float32Array, added[2 * layer + 1] as Float32Array);
      }
      if (!commit) return;
      cache.commit(position + count);
      rows = rows.map((before, i) => [...before, ...(added[i] as Float32Array)]);
    },
    truncate(length: number) {
      cache.truncate(length);
      rows = rows.map((before) => before.slice(0, length * WIDTH));
    },
    /** The largest error of a number that was written, of keys [from, to). */
    error(from: number, to: number): number {
      let largest = 0;
      for (let layer = 0; layer < SHAPE.layers; layer++) {
        for (let head = 0; head < SHAPE.keyValueHeads; head++) {
          for (const [i, what] of (['keys', 'values'] as const).entries()) {
            const actual = cache.read(layer, head, what, from, to);
            for (const [at, x] of actual.entries()) {
              const position = from + Math.floor(at / 64);
              const wrote = (rows[2 * layer + i] as number[])[position * WIDTH + head * 64 + (at % 64)] as number;
              largest = Math.max(largest, Math.abs(x - wrote));
            }
          }
        }
      }
      return largest;
    },
  };
}

/** A step is max |y| / 128, and numbers of 64 normal dimensions go to 3.5 or so: half of one, turned back. */
const MAX_ROUNDING_ERROR = 0.08;

describe.for([
  ['one region', {}],
  ['several regions', { arenaBytes: 2 ** 18 }],
] as const)('an int8 cache in %s', ([, options]) => {
  it('holds the open page as it came, and full pages to int8', () => {
    const { cache, append, error } = createInt8(options);
    for (const count of [1, 62, 1, 1, 64, 65, 0, 200, 128, 3]) {
      append(count);
      const closed = cache.length - (cache.length % PAGE_KEYS);
      expect(error(closed, cache.length)).toBe(0);
      expect(error(0, closed)).toBeLessThan(MAX_ROUNDING_ERROR);
      if (closed > 0) expect(error(0, closed)).toBeGreaterThan(0);
    }
    expect(cache.regions.length > 1).toBe('arenaBytes' in options);
  });

  it('is what it was after what was not committed', () => {
    const { cache, append } = createInt8(options);
    append(100);
    const before = snapshot(cache);
    for (const count of [3, 28, 200]) {
      append(count, false);
      cache.truncate(100);
      // A region that was added stays.
      const { regions, bytes, ...rest } = snapshot(cache);
      expect({ regions: before.regions, bytes: before.bytes, ...rest }).toEqual(before);
    }
  });

  it('is cut anywhere, again and again, to what its codes stand for', () => {
    const { cache, append, truncate, error } = createInt8(options);
    append(500);
    for (const length of [499, 448, 320, 300, 299, 64, 63, 0]) {
      const held = cache.read(1, 0, 'keys', 0, length);
      truncate(length);
      const now = cache.read(1, 0, 'keys', 0, length);
      for (const [i, x] of now.entries()) expect(Math.abs(x - (held[i] as number))).toBeLessThan(1e-5);
      append(70);
      // What was cut within its page has been rounded twice.
      expect(error(0, cache.length)).toBeLessThan(2 * MAX_ROUNDING_ERROR);
      truncate(length);
    }
  });
});

describe('the memory of an int8 cache', () => {
  it('is 147 bytes a key and head of 64, and an open page beside them', () => {
    expect(pageLayout(64, 'int8').bytes / PAGE_KEYS).toBe(147);
    // What the sieve and certificates read is among these; beside exact rows it would make 369.
    expect(pageLayout(64, 'int8', ['int8']).bytes / PAGE_KEYS).toBe(147);
    const { cache, append } = createInt8();
    append(64);
    const one = cache.bytes;
    append(640);
    expect(cache.bytes - one).toBe(10 * 2 * 64 * 147);
    append(1);
    expect(cache.bytes - one).toBe(11 * 2 * 64 * 147 + 2 * exactPageBytes(64, 'f32'));
  });

  it('grows no further than the limit, and an error leaves it as it was', () => {
    const { cache, append } = createInt8({ memoryLimit: 400_000 });
    append(100);
    const before = snapshot(cache);
    expectError('cache-out-of-memory', () => cache.reserve(800));
    expect(snapshot(cache)).toEqual({ ...before });
    append(20);
    expect(cache.bytes).toBeLessThanOrEqual(400_000);
  });

  it('refuses numbers that its codes cannot take', () => {
    const { cache } = createInt8();
    cache.reserve(64);
    const rows = new Float32Array(64 * WIDTH).fill(2 ** 100);
    expectError('not-a-number', () => cache.write(0, 0, rows, rows));
    expectError('not-a-number', () => cache.write(0, 0, rows.fill(Number.NaN), rows));
    cache.truncate(0);
    expect(cache.length).toBe(0);
  });
});
