/** The attention of several sequences at once gives each what it gets alone. */
import { afterEach, describe, expect, it } from 'vitest';
import { createRandom } from '../../test/random.ts';
import type { PolicySpec } from '../policies/policy.ts';
import { attendTogether, type SequenceRequest } from './attend-together.ts';
import { type Attention, openAttention } from './attention.ts';
import { type AttentionEngine, createAttentionEngine } from './engine.ts';
import { MAX_BATCH_JOBS } from './job.ts';

const SHAPE = { layers: 2, keyValueHeads: 3, heads: 9, headDim: 32, capacity: 3000, encodings: ['int4'] } as const;
const WIDTH = SHAPE.keyValueHeads * SHAPE.headDim;
const POLICIES: PolicySpec[] = [
  { policy: 'sieve', budget: 'fixed:40' },
  { policy: 'dense' },
  { policy: 'topk', budget: 'fixed:30' },
  { policy: 'window', budget: 'fixed:50' },
];

describe.for([1, 3])('attention of several sequences at once, on %d threads', (threads) => {
  const engines: AttentionEngine[] = [];
  const attentions: Attention[] = [];
  afterEach(async () => {
    for (const attention of attentions.splice(0)) await attention.dispose();
    for (const engine of engines.splice(0)) await engine.release();
  });

  async function createEngine(): Promise<AttentionEngine> {
    const engine = await createAttentionEngine({ ...SHAPE, threads });
    engines.push(engine);
    return engine;
  }

  /** The next `count` queries behind `keys` keys, in layer 1. */
  function requestOf(engine: AttentionEngine, seed: number, keys: number, policy: PolicySpec, count = 1) {
    const attention = openAttention(engine);
    attentions.push(attention);
    const { cache } = attention;
    const random = createRandom(seed);
    cache.reserve(keys + count);
    for (let layer = 0; layer < SHAPE.layers; layer++) {
      cache.write(layer, 0, random.normals((keys + count) * WIDTH), random.normals((keys + count) * WIDTH));
    }
    cache.commit(keys);
    const queries = random.normals(count * SHAPE.heads * SHAPE.headDim, 2);
    return { attention, layer: 1, position: keys, queries, policy } satisfies SequenceRequest;
  }

  const alone = ({ attention, ...request }: SequenceRequest) => attention.attend(request);

  it('is that of each alone, whatever its policy, its length and its number of queries', async () => {
    const engine = await createEngine();
    const other = await createEngine();
    const requests = POLICIES.flatMap((policy, i) => [
      requestOf(engine, 4 * i + 1, 1000 + 100 * i, policy),
      requestOf(engine, 4 * i + 2, 20, policy),
      requestOf(i === 0 ? other : engine, 4 * i + 3, 2500, policy),
      requestOf(engine, 4 * i + 4, 640, policy, 5),
    ]);
    const expected = requests.map(alone);
    expect(attendTogether(requests)).toEqual(expected);
    expect(attendTogether(requests.toReversed())).toEqual(expected.toReversed());
  });

  it('is that of each alone for more of them than one batch takes', async () => {
    const engine = await createEngine();
    const policy = { policy: 'dense' };
    const requests = Array.from({ length: 2 * MAX_BATCH_JOBS + 3 }, (_, i) => requestOf(engine, i, 50 + i, policy));
    expect(attendTogether(requests)).toEqual(requests.map(alone));
  });

  it('is that of each alone for blocks of prompts, which learn from each other in their own prompt only', async () => {
    const engine = await createEngine();
    const prompts = () =>
      [1, 2].map((seed) => ({
        ...requestOf(engine, seed, 1200, { policy: 'sieve', budget: 'fixed:40' }, 130),
        shareSamples: true,
      }));
    const [together, apart] = [prompts(), prompts()];
    // The second time, budgets depend on what the first has shown.
    for (let i = 0; i < 2; i++) expect(attendTogether(together)).toEqual(apart.map(alone));
  });

  it('fails for those alone whose request is wrong', async () => {
    const engine = await createEngine();
    const [first, broken, gone, last] = [1, 2, 3, 4].map((seed) =>
      requestOf(engine, seed, 300, POLICIES[0] as PolicySpec),
    ) as [SequenceRequest, SequenceRequest, SequenceRequest, SequenceRequest];
    broken.queries[3] = Number.NaN;
    await gone.attention.dispose();
    const outcomes = attendTogether([first, broken, gone, last]);
    expect(outcomes).toMatchObject([
      alone(first),
      { error: { code: 'not-a-number' } },
      { error: { code: 'disposed' } },
      alone(last),
    ]);
  });
});
