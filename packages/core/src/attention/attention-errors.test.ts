/** Wrong calls and bad numbers: each a typed error, and the attention as good as before. */
import { afterEach, describe, expect, it } from 'vitest';
import { type AttentionBench, createBench, errorRatio } from '../../test/attention-bench.ts';
import { snapshot } from '../../test/cache-model.ts';
import { expectError, expectRejection } from '../../test/errors.ts';
import { createRandom } from '../../test/random.ts';
import { type AttendRequest, type Attention, type AttentionOptions, createAttention } from './attention.ts';

const SHAPE = { layers: 2, keyValueHeads: 2, heads: 4, headDim: 16, capacity: 500 } as const;
const WIDTH = SHAPE.heads * SHAPE.headDim;
const DENSE = { policy: 'dense' } as const;

const open: Attention[] = [];

async function benchOf(options: Partial<AttentionOptions> = {}): Promise<AttentionBench> {
  const attention = await createAttention({ ...SHAPE, ...options });
  open.push(attention);
  return createBench(attention, createRandom(1));
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((attention) => attention.dispose()));
});

describe('createAttention refuses', () => {
  it.for([
    { heads: 0 },
    { heads: 5 },
    { heads: Number.NaN },
    { keyValueHeads: 0 },
    { keyValueHeads: -2 },
    { keyValueHeads: 2 ** 30, heads: 2 ** 30 },
    { headDim: 20 },
    { layers: 0 },
    { capacity: 0 },
    { threads: 0 },
    { threads: 1.5 },
    { kernels: 'webgpu' as 'wasm' },
    { kernels: 'toString' as 'wasm' },
    { arenaBytes: -1 },
    { memoryLimit: Number.NaN },
    { precision: 'int4' as 'f16' },
  ])('%o', async (options) => {
    const error = await expectRejection('invalid-argument', createAttention({ ...SHAPE, ...options }));
    expect(error.found).toBeDefined();
  });

  it('arenas without room for the buffers of its threads', async () => {
    await expectRejection('cache-out-of-memory', createAttention({ ...SHAPE, arenaBytes: 2 ** 16, threads: 2 }));
  });
});

describe('attend refuses, and stays of use:', () => {
  const queries = new Float32Array(WIDTH).fill(0.5);
  const good: AttendRequest = { layer: 0, position: 99, queries, policy: DENSE };
  const withQuery = (x: number) => {
    const bad = queries.slice();
    bad[WIDTH - 1] = x;
    return { queries: bad };
  };
  const cases: Record<string, [code: string, request: Partial<AttendRequest>]> = {
    'no queries': ['invalid-argument', { queries: new Float32Array() }],
    'a part of a query': ['invalid-argument', { queries: new Float32Array(WIDTH + 1) }],
    'a layer that is not there': ['invalid-argument', { layer: 2 }],
    'layer -1': ['invalid-argument', { layer: -1 }],
    'layer 0.5': ['invalid-argument', { layer: 0.5 }],
    'layer NaN': ['invalid-argument', { layer: Number.NaN }],
    'a negative position': ['invalid-argument', { position: -1 }],
    'half a position': ['invalid-argument', { position: 1.5 }],
    'a position behind the cache': ['invalid-argument', { position: 100 }],
    'a position behind the cache, in a page that is there': ['invalid-argument', { position: 110 }],
    'a policy that is not there': ['invalid-argument', { policy: { policy: 'best' } }],
    'a budget that is not there': ['invalid-argument', { policy: { policy: 'topk', budget: 'some' } }],
    'a budget without a number': ['invalid-argument', { policy: { policy: 'topk', budget: 'fixed:' } }],
    'a query that is not a number': ['not-a-number', withQuery(Number.NaN)],
    'outputs that are too short': ['invalid-argument', { outputs: new Float32Array(WIDTH - 1) }],
    'an infinite query': ['not-a-number', withQuery(Number.NEGATIVE_INFINITY)],
  };
  it.for(Object.keys(cases))('%s', async (name) => {
    const [code, request] = cases[name] as (typeof cases)[string];
    const bench = await benchOf();
    bench.append(100);
    const before = snapshot(bench.attention.cache);
    expectError(code, () => bench.attention.attend({ ...good, ...request }));
    expect(snapshot(bench.attention.cache)).toEqual(before);
    const { outputs } = bench.attention.attend(good);
    expect(errorRatio(bench, 0, 99, queries, outputs)).toBeLessThan(2);
  });

  it('numbers whose scores or sums would leave float32', async () => {
    const huge = await benchOf({ precision: 'f32' });
    huge.append(10, (x) => x * 1e30);
    const request = { layer: 0, position: 9, policy: DENSE };
    const error = expectError('not-a-number', () =>
      huge.attention.attend({ ...request, queries: huge.queries(1, 1e10) }),
    );
    expect(error.found).toMatch(/queries up to .*, keys of norm .*, values of norm .*/);
    // Smaller queries will do.
    const small = huge.queries(1, 1e-30);
    const { outputs } = huge.attention.attend({ ...request, queries: small });
    expect(errorRatio(huge, 0, 9, small, outputs)).toBeLessThan(2);

    const values = await benchOf({ precision: 'f32' });
    values.append(100, (x) => x * 1e37);
    expectError('not-a-number', () => {
      values.attention.attend({ ...request, position: 99, queries: values.queries(1, 1e-38) });
    });
  });

  it('everything, once it has been disposed of', async () => {
    for (const threads of [1, 2]) {
      const { attention, append } = await benchOf({ threads });
      append(10);
      await attention.dispose();
      expectError('disposed', () => attention.attend({ ...good, position: 0 }));
      expectError('disposed', () => attention.cache.reserve(1));
      await attention.dispose();
    }
  });

  it('what it cannot hold: a full cache is an error of the cache, and the keys before it are attended to', async () => {
    const bench = await benchOf({ threads: 2 });
    bench.append(500);
    expectError('cache-full', () => bench.attention.cache.reserve(1));
    const query = bench.queries(1);
    const { outputs } = bench.attention.attend({ layer: 1, position: 499, queries: query, policy: DENSE });
    expect(errorRatio(bench, 1, 499, query, outputs)).toBeLessThan(2);
  });
});

describe('await using', () => {
  it('disposes at the end of the block', async () => {
    let seen: Attention;
    {
      await using attention = await createAttention({ ...SHAPE, threads: 2 });
      seen = attention;
    }
    expectError('disposed', () => seen.cache.reserve(1));
  });
});
