/** Threads in a page that is isolated, with an owner that never yields. */
import { afterEach, describe, expect, it } from 'vitest';
import { createRandom } from '../../test/random.ts';
import { registerPolicies } from '../policies/registry.ts';
import { type Attention, createAttention } from './attention.ts';

const HEADS = 32;
const shape = { layers: 1, keyValueHeads: HEADS, heads: HEADS, headDim: 64, capacity: 4096, precision: 'f32' } as const;

let attention: Attention | undefined;
afterEach(async () => {
  await attention?.dispose();
  attention = undefined;
});

function fill({ cache }: Attention, n: number) {
  const random = createRandom(1);
  const rows = () => random.normals(n * HEADS * 64);
  cache.reserve(n);
  cache.write(0, 0, rows(), rows());
  cache.commit(n);
  return { layer: 0, position: n - 1, queries: rows().subarray(0, HEADS * 64) };
}

describe('a page', () => {
  it('is isolated, so that threads share memory', () => {
    expect(globalThis.crossOriginIsolated).toBe(true);
  });

  it('has the help of its threads, though it never yields', async () => {
    await registerPolicies(new URL('../../test/policies-browser.ts', import.meta.url));
    attention = await createAttention({ ...shape, threads: 2 });
    const request = fill(attention, 2048);
    const helped: number[] = [];
    for (let i = 0; i < 200 && Math.max(0, ...helped) === 0; i++) {
      const { report } = attention.attend({ ...request, policy: { policy: 'first-keys', budget: 'fixed:256' } });
      helped.push(report.bytesRead % 256);
    }
    expect(Math.max(...helped)).toBeGreaterThan(0);
  });
});
