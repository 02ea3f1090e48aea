import { afterEach, describe, expect, it } from 'vitest';
import { createBench, errorRatio } from '../../test/attention-bench.ts';
import { distance } from '../../test/plain-attention.ts';
import { createRandom } from '../../test/random.ts';
import { arenaBytesFor } from '../../test/small-arena.ts';
import { type Attention, type AttentionOptions, createAttention } from './attention.ts';

const SHAPE = { layers: 2, keyValueHeads: 2, heads: 6, headDim: 32, capacity: 2000 } as const;
const DENSE = { policy: 'dense' } as const;
/** A region holds two slabs, or as many more as the last page of WebAssembly has room for. */
const tinyArena = (options: Partial<AttentionOptions> = {}) => arenaBytesFor(2, { ...SHAPE, ...options });

const open: Attention[] = [];

async function benchOf(seed: number, options: Partial<AttentionOptions> = {}) {
  const attention = await createAttention({ ...SHAPE, ...options });
  open.push(attention);
  return createBench(attention, createRandom(seed));
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((attention) => attention.dispose()));
});

describe('dense attention is within twice the error of plain float32', () => {
  it.for([
    ['one thread', {}],
    ['two threads', { threads: 2 }],
    ['two threads and several regions', { threads: 2, arenaBytes: tinyArena({ threads: 2 }) }],
    ['one thread and several regions, in f32', { arenaBytes: tinyArena({ precision: 'f32' }), precision: 'f32' }],
    [
      'two threads and several regions, in int8',
      { threads: 2, arenaBytes: tinyArena({ threads: 2, precision: 'int8' }), precision: 'int8' },
    ],
    ['memory that is not shared', { shared: false, threads: 2 }],
    ['reference kernels', { kernels: 'reference' }],
    [
      'reference kernels, two threads, several regions',
      { kernels: 'reference', threads: 2, arenaBytes: tinyArena({ threads: 2 }) },
    ],
    ['large groups', { heads: 24, threads: 2 }],
    ['one head', { heads: 1, keyValueHeads: 1, headDim: 8, threads: 2 }],
  ] as [string, Partial<AttentionOptions>][])('with %s', async ([, options]) => {
    const bench = await benchOf(1, options);
    const { attention } = bench;
    expect(attention.threads).toBe(options.shared === false ? 1 : (options.threads ?? 1));
    const slow = options.kernels === 'reference';
    bench.append(slow ? 300 : 700);
    if ('arenaBytes' in options) expect(attention.cache.regions.length).toBeGreaterThan(1);
    // A chunk of a prompt, chunks that end and begin within a page, single queries.
    const chunks = [
      [0, 1],
      [0, 70],
      [63, 1],
      [64, 2],
      [100, 37],
      [299, 1],
      [600, 100],
      [699, 1],
    ] as const;
    for (const [position, count] of chunks.filter(([position]) => position < attention.cache.length)) {
      const queries = bench.queries(count);
      const layer = position % 2;
      const { outputs } = attention.attend({ layer, position, queries, policy: DENSE });
      const ratio = errorRatio(bench, layer, position, queries, outputs);
      expect(ratio, `queries ${position} to ${position + count}`).toBeLessThan(2);
    }
  });

  it('for more queries than one job takes', async () => {
    // 200 key-value heads of 192 query heads each: 20 queries a job.
    const bench = await benchOf(2, { layers: 1, keyValueHeads: 200, heads: 38_400, headDim: 8, capacity: 64 });
    bench.append(21);
    const queries = bench.queries(21);
    const { outputs, report } = bench.attention.attend({ layer: 0, position: 0, queries, policy: DENSE });
    expect(report).toMatchObject({ rows: 21 * 38_400, keys: (38_400 * 21 * 22) / 2 });
    const single = bench.attention.attend({
      layer: 0,
      position: 20,
      queries: queries.subarray(20 * 38_400 * 8),
      policy: DENSE,
    });
    const last = outputs.subarray(20 * 38_400 * 8);
    expect(last.every((x, i) => Math.abs(x - (single.outputs[i] as number)) < 1e-6)).toBe(true);
  });
});

describe('a prompt', () => {
  it('gives the same in one chunk, in several, and token by token, as it is appended', async () => {
    const length = 300;
    const whole = await benchOf(3, { threads: 2 });
    whole.append(length);
    const queries = whole.queries(length);
    const { outputs } = whole.attention.attend({ layer: 1, position: 0, queries, policy: DENSE });
    expect(errorRatio(whole, 1, 0, queries, outputs)).toBeLessThan(2);
    const width = SHAPE.heads * SHAPE.headDim;
    const { keys, values } = whole.stored[1] as NonNullable<(typeof whole.stored)[1]>;
    for (const chunks of [[1, 63, 64, 65, 107], Array.from({ length }, () => 1)]) {
      const attention = await createAttention({ ...SHAPE, threads: 2 });
      open.push(attention);
      const actual = new Float32Array(outputs.length);
      let position = 0;
      for (const count of chunks) {
        const rows = (numbers: Float32Array) => numbers.subarray(position * 64, (position + count) * 64);
        attention.cache.reserve(count);
        attention.cache.write(1, position, rows(keys), rows(values));
        const part = queries.subarray(position * width, (position + count) * width);
        actual.set(attention.attend({ layer: 1, position, queries: part, policy: DENSE }).outputs, position * width);
        attention.cache.commit(position + count);
        position += count;
      }
      expect(errorRatio(whole, 1, 0, queries, actual), `${chunks.length} chunks`).toBeLessThan(2);
    }
  });

  it('writes its outputs where they are wanted', async () => {
    const encodings = ['sign', 'int4'] as const;
    const shape = { layers: 1, keyValueHeads: 2, heads: 4, headDim: 16, capacity: 300 };
    const attention = await createAttention({ ...shape, encodings });
    const bench = createBench(attention, createRandom(5));
    bench.append(200);
    for (const policy of [{ policy: 'dense' }, { policy: 'sieve', budget: 'fixed:16' }]) {
      const request = { layer: 0, position: 199, queries: bench.queries(1), policy };
      const outputs = new Float32Array(request.queries.length).fill(Number.NaN);
      const { outputs: own } = attention.attend(request);
      expect(attention.attend({ ...request, outputs }).outputs).toBe(outputs);
      expect(outputs).toEqual(own);
    }
    await attention.dispose();
  });

  it('has room for its queries when the cache has filled its first arena', async () => {
    const bench = await benchOf(4, { threads: 2, arenaBytes: tinyArena({ threads: 2 }) });
    bench.append(300);
    expect(bench.attention.cache.regions.length).toBeGreaterThan(1);
    for (const [position, count] of [
      [299, 1],
      [0, 300],
    ] as const) {
      const queries = bench.queries(count);
      for (const policy of [DENSE, { policy: 'topk', budget: 'fixed:1000' }]) {
        const { outputs } = bench.attention.attend({ layer: 0, position, queries, policy });
        expect(errorRatio(bench, 0, position, queries, outputs)).toBeLessThan(2);
      }
    }
  });

  it('takes no more memory when it comes in chunks of many sizes', async () => {
    const bench = await benchOf(5);
    bench.append(1);
    bench.append(399);
    const before = bench.attention.bytes;
    for (let count = 1; count <= 400; count += 7) {
      bench.attention.attend({ layer: 0, position: 0, queries: bench.queries(count), policy: DENSE });
    }
    const queriesAndOutputs = 2 * 400 * SHAPE.heads * SHAPE.headDim * 4;
    expect(bench.attention.bytes - before).toBeLessThan(2 * queriesAndOutputs);
  });
});

describe('threads', () => {
  it('learn of regions and policies that come while they sleep', async () => {
    const bench = await benchOf(6, { threads: 3, arenaBytes: tinyArena({ threads: 3 }) });
    const { attention } = bench;
    let regions = 0;
    for (let n = 64; n <= 512; n += 64) {
      bench.append(64);
      regions = Math.max(regions, attention.cache.regions.length);
      // Another policy every time; all of them take every key.
      for (const policy of [DENSE, { policy: 'topk', budget: `fixed:${1000 + n}` }]) {
        for (const count of [1, 20]) {
          const queries = bench.queries(count);
          const { outputs } = attention.attend({ layer: 1, position: n - count, queries, policy });
          expect(errorRatio(bench, 1, n - count, queries, outputs), `${n} keys, ${policy.policy}`).toBeLessThan(2);
        }
      }
    }
    expect(regions).toBeGreaterThan(2);
    expect(attention.cache.regions).toHaveLength(regions);
  });

  it('see all of a memory that grew while they were being told of it', async () => {
    const results = async (threads: number) => {
      const bench = await benchOf(20, { threads, arenaBytes: tinyArena({ threads: 3 }) });
      const outputs: Float32Array[] = [];
      for (let n = 100; n <= 300; n += 100) {
        bench.append(100);
        for (const [count, policy] of [
          [n, DENSE],
          [1, DENSE],
          [100, { policy: 'topk', budget: `fixed:${n}` }],
        ] as const) {
          const request = { layer: 0, position: n - count, queries: bench.queries(count), policy };
          outputs.push(bench.attention.attend(request).outputs);
        }
      }
      return outputs;
    };
    const expected = await results(1);
    // The first jobs come while the helpers still read their first messages, so this is a matter of luck each time.
    for (let i = 0; i < 8; i++) {
      for (const [at, outputs] of (await results(3)).entries()) {
        expect(distance(outputs, expected[at] as Float32Array).max).toBeLessThan(1e-6);
      }
    }
  });

  it('see what is written over, when the cache has been cut', async () => {
    const bench = await benchOf(7, { threads: 2, arenaBytes: tinyArena({ threads: 2 }) });
    const { attention } = bench;
    for (const [length, more] of [
      [0, 400],
      [129, 300],
      [64, 10],
      [0, 200],
    ] as const) {
      attention.cache.truncate(length);
      for (const rows of bench.stored) {
        rows.keys = rows.keys.slice(0, length * 64);
        rows.values = rows.values.slice(0, length * 64);
      }
      bench.append(more);
      const queries = bench.queries(1);
      const { outputs } = attention.attend({ layer: 0, position: length + more - 1, queries, policy: DENSE });
      expect(errorRatio(bench, 0, length + more - 1, queries, outputs)).toBeLessThan(2);
    }
  });

  it('do not change what comes out', async () => {
    const requests = [
      { position: 0, count: 400, policy: DENSE },
      { position: 399, count: 1, policy: { policy: 'topk', budget: 'fixed:60' } },
      { position: 360, count: 40, policy: { policy: 'topk', budget: 'mass:0.2' } },
      { position: 360, count: 40, policy: { policy: 'window', budget: 'power:2,0.6' } },
    ];
    const results = [];
    for (const options of [
      { threads: 1 },
      { threads: 2 },
      { threads: 3 },
      { threads: 2, arenaBytes: tinyArena({ threads: 2 }) },
    ]) {
      const bench = await benchOf(8, options);
      bench.append(400);
      results.push(
        requests.map(({ position, count, policy }) => {
          const queries = createRandom(position).normals(count * SHAPE.heads * SHAPE.headDim);
          const { outputs, report } = bench.attention.attend({ layer: 0, position, queries, policy });
          // How a dense job is cut says how often a key is read.
          return { outputs, report: policy === DENSE ? undefined : report };
        }),
      );
    }
    const [one, two, three, regions] = results;
    expect(two).toEqual(one);
    expect(three).toEqual(one);
    // Where a region ends, another list of selected keys begins: sums are added up in another order.
    for (const [i, { outputs, report }] of (one ?? []).entries()) {
      const other = regions?.[i];
      expect(distance(other?.outputs ?? [], outputs).max).toBeLessThan(1e-6);
      expect(other?.report?.keysExact).toBe(report?.keysExact);
      expect(other?.report?.tailMass.sum ?? 0).toBeCloseTo(report?.tailMass.sum ?? 0, 3);
    }
  });
});
