import { describe, expect, it } from 'vitest';
import { createBench } from '../../test/attention-bench.ts';
import { expectError } from '../../test/errors.ts';
import { createRandom } from '../../test/random.ts';
import { createPolicy, type PolicySpec } from '../policies/policy.ts';
import { type Attention, createAttention, openAttention } from './attention.ts';
import { createAttentionEngine } from './engine.ts';

const SHAPE = { layers: 1, keyValueHeads: 2, heads: 6, headDim: 32, capacity: 2000, encodings: ['int4'] } as const;
const WIDTH = SHAPE.keyValueHeads * SHAPE.headDim;
const POLICIES: PolicySpec[] = [{ policy: 'dense' }, { policy: 'sieve', budget: 'fixed:40' }];

/** Random keys and values (count, WIDTH) each. */
const rowsOf = (seed: number, count: number) => {
  const random = createRandom(seed);
  return [random.normals(count * WIDTH), random.normals(count * WIDTH)] as const;
};

function append({ cache }: Attention, seed: number, count: number): void {
  const position = cache.length;
  cache.reserve(count);
  cache.write(0, position, ...rowsOf(seed, count));
  cache.commit(position + count);
}

const queriesOf = (count: number) => createRandom(77).normals(count * SHAPE.heads * SHAPE.headDim, 2);

/** Outputs of a prompt's last queries, and of one token. */
function outputs(attention: Attention, policy: PolicySpec): Float32Array[] {
  const { length } = attention.cache;
  return [64, 1].map((count) => {
    const request = { layer: 0, position: length - count, queries: queriesOf(count), policy, shareSamples: count > 1 };
    return attention.attend(request).outputs;
  });
}

describe('a fork of an attention', () => {
  it.for([1, 2])('attends as one that has read everything itself, on %d threads', async (threads) => {
    await using parent = await createAttention({ ...SHAPE, threads });
    append(parent, 1, 700);
    for (const policy of POLICIES) outputs(parent, policy);
    await using fork = parent.fork();
    append(parent, 2, 90);
    append(fork, 3, 90);
    for (const [attention, seed] of [
      [parent, 2],
      [fork, 3],
    ] as const) {
      await using alone = await createAttention({ ...SHAPE, threads });
      append(alone, 1, 700);
      for (const policy of POLICIES) outputs(alone, policy);
      append(alone, seed, 90);
      for (const policy of POLICIES) expect(outputs(attention, policy)).toEqual(outputs(alone, policy));
    }
  });

  it('goes on when its parent is disposed of, and the last one ends the threads', async () => {
    const parent = await createAttention({ ...SHAPE, threads: 2 });
    append(parent, 1, 100);
    const fork = parent.fork();
    const before = outputs(parent, { policy: 'dense' });
    await parent.dispose();
    await parent.dispose();
    expectError('disposed', () => outputs(parent, { policy: 'dense' }));
    expect(outputs(fork, { policy: 'dense' })).toEqual(before);
    expect(fork.engine.isHeld).toBe(true);
    await fork.dispose();
    expect([fork.engine.isHeld, fork.engine.slabs.bytes]).toEqual([false, 0]);
  });
});

describe('an engine', () => {
  it('serves caches that know nothing of each other', async () => {
    const engine = await createAttentionEngine({ ...SHAPE, threads: 2 });
    const attentions = [1, 2, 3].map(() => openAttention(engine));
    for (let i = 0; i < 4; i++)
      for (const [seed, attention] of attentions.entries()) append(attention, 10 * i + seed, 75);
    for (const [seed, attention] of attentions.entries()) {
      await using alone = await createAttention({ ...SHAPE, threads: 2 });
      for (let i = 0; i < 4; i++) append(alone, 10 * i + seed, 75);
      for (const policy of POLICIES) expect(outputs(attention, policy)).toEqual(outputs(alone, policy));
    }
    for (const attention of attentions) await attention.dispose();
    expect(engine.slabs.bytes).toBe(0);
    await engine.release();
  });

  it('has one number for policies that say the same, however often they are made', async () => {
    const engine = await createAttentionEngine(SHAPE);
    const numbers = Array.from({ length: 5 }, () =>
      POLICIES.map((policy) => engine.policyNumber(createPolicy(policy))),
    );
    for (const each of numbers) expect(each).toEqual([0, 1]);
    await engine.release();
  });

  it('times phases only where it was made to', async () => {
    const engine = await createAttentionEngine(SHAPE);
    expectError('invalid-argument', () => openAttention(engine, { onTrace: () => {} }));
    await engine.release();
    const bench = createBench(await createAttention({ ...SHAPE, onTrace: () => {} }), createRandom(1));
    await bench.attention.dispose();
  });
});
