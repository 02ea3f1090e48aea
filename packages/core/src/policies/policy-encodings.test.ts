/** Whether the encodings that a policy asks for are all that it reads, and the buffers that come with them enough. */
import { describe, expect, it } from 'vitest';
import { createRandom } from '../../test/random.ts';
import { sparsePolicyNames } from '../../test/variants.ts';
import { createAttention } from '../attention/attention.ts';
import { ENCODINGS, type Encoding } from '../kernels/layout.ts';
import { type PolicySpec, policyEncodings } from './policy.ts';

const SHAPE = { layers: 2, keyValueHeads: 1, heads: 2, headDim: 32, capacity: 500 } as const;

async function attend(policy: PolicySpec, encodings: readonly Encoding[]) {
  const random = createRandom(9);
  await using attention = await createAttention({ ...SHAPE, encodings });
  attention.cache.reserve(SHAPE.capacity);
  for (const layer of [0, 1]) {
    const [keys, values] = [random.normals(SHAPE.capacity * 32), random.normals(SHAPE.capacity * 32)];
    attention.cache.write(layer, 0, keys, values);
  }
  attention.cache.commit(SHAPE.capacity);
  const queries = random.normals(2 * 32, 3);
  return [0, 1].map((layer) => attention.attend({ layer, position: 480, queries, policy }));
}

describe('the encodings of a policy', () => {
  it.for(sparsePolicyNames())('%s needs no others than it says', async (policy) => {
    for (const spec of [
      { policy, budget: 'fixed:40' },
      { policy, budget: 'fixed:40', certify: 0.05 },
      { policy, budget: 'mass:0.1' },
    ]) {
      expect(await attend(spec, policyEncodings(spec))).toEqual(await attend(spec, ENCODINGS));
    }
  });
});
