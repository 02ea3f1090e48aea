import { describe, expect, it } from 'vitest';
import { createBench, errorRatio } from '../../test/attention-bench.ts';
import { expectError } from '../../test/errors.ts';
import { createRandom } from '../../test/random.ts';
import { createAttention } from '../attention/attention.ts';
import { createPolicy } from './policy.ts';
import { policyModules, policyNames, registerPolicies } from './registry.ts';

const MODULE = new URL('../../test/policies.ts', import.meta.url);
const KEYS = 300;
/** Steps until a helper has surely imported a module. */
const MAX_ROUNDS = 3000;

describe('registerPolicies', () => {
  it('adds policies, once, that every thread has', async () => {
    expectError('invalid-argument', () => createPolicy({ policy: 'every-other' }));
    const before = policyNames();
    await Promise.all([registerPolicies(MODULE), registerPolicies(MODULE.href)]);
    await registerPolicies(MODULE);
    expect(policyNames()).toEqual([...before, 'every-other']);
    expect(policyModules()).toEqual([MODULE.href]);

    const shape = { layers: 1, keyValueHeads: 4, heads: 4, headDim: 32, capacity: KEYS, threads: 2 };
    const bench = createBench(await createAttention(shape), createRandom(1));
    await using attention = bench.attention;
    bench.append(KEYS);
    const queries = bench.queries(KEYS, 2);
    const policy = { policy: 'every-other', budget: 'fraction:1' };
    const keys = Array.from({ length: KEYS }, (_, i) =>
      Int32Array.from({ length: Math.ceil((i + 1) / 2) }, (_, at) => (i % 2) + 2 * at),
    );
    // As soon as the helper has imported the module it takes tasks, and leaves its thread's number in the bytes.
    const exactBytes = keys.reduce((sum, { length }) => sum + 4 * length * 2 * 64, 0);
    let helped = false;
    for (let round = 0; round < MAX_ROUNDS && !helped; round++) {
      const { outputs, report } = attention.attend({ layer: 0, position: 0, queries, policy });
      expect(errorRatio(bench, 0, 0, queries, outputs, keys)).toBeLessThan(2);
      helped = report.bytesRead > exactBytes;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(helped).toBe(true);
  });

  it('says which module a worker thread could not import', async () => {
    const failing = new URL('../../test/policies-failing.ts', import.meta.url);
    await registerPolicies(failing);
    const shape = { layers: 1, keyValueHeads: 1, heads: 1, headDim: 32, capacity: KEYS, threads: 2 };
    const bench = createBench(await createAttention(shape), createRandom(1));
    await using attention = bench.attention;
    bench.append(1);
    const request = { layer: 0, position: 0, queries: bench.queries(1), policy: { policy: 'failing' } };
    const failure = async () => {
      for (let round = 0; round < MAX_ROUNDS; round++) {
        attention.attend(request);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    await expect(failure()).rejects.toMatchObject({
      code: 'thread-failed',
      found: expect.stringContaining(failing.href),
    });
  });

  it.for([
    ['a name that is taken', new URL('../../test/policies-taken.ts', import.meta.url).href],
    ['a module without a default export', new URL('../../test/random.ts', import.meta.url).href],
    ['another origin', 'https://keysieve.invalid/policies.mjs'],
  ])('refuses %s, and leaves the policies as they were', async ([, url = '']) => {
    const before = policyNames();
    await expect(registerPolicies(url)).rejects.toMatchObject({ code: 'invalid-argument' });
    expect(policyNames()).toEqual(before);
    expect(policyModules()).not.toContain(url);
  });
});
