import { describe, expect, it } from 'vitest';
import type { CapturedHead } from '../captures/captured-head.ts';
import { benchAttention, benchQuantizedCaches } from './attention.ts';

/** A head of repeatable numbers, spread like normal ones. */
function headOf(n: number): CapturedHead {
  let seed = 1;
  const uniform = () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  const numbers = (count: number) =>
    Float32Array.from({ length: count }, () => Math.fround((uniform() + uniform() + uniform() - 1.5) * 2));
  const halves = (count: number) => numbers(count).map((x) => Math.round(x * 512) / 512);
  return {
    name: 'a',
    headDim: 32,
    n,
    group: 2,
    lastQueries: 4,
    keys: halves(n * 32),
    values: halves(n * 32),
    queries: numbers(2 * 4 * 32),
  };
}

const options = { lastQueries: 4, stride: 2, signal: new AbortController().signal, onProgress: () => {} };

describe('bench attention', () => {
  it('measures dense attention as exact, and a policy by what it leaves out', async () => {
    const heads = [headOf(600)];
    const policies = [
      { policy: 'dense' },
      { policy: 'window', budget: 'fixed:50' },
      { policy: 'topk', budget: 'fixed:600' },
    ];
    const [dense, window, whole] = await benchAttention({ ...options, heads, policies });
    expect(dense?.summary.outputError.mean).toBeLessThan(1e-5);
    expect(dense?.summary).toMatchObject({ bytesPerKey: 128, denseBytesPerKey: 128, violations: 0, fullAttention: 1 });
    expect(dense?.heads.map(({ name, head }) => [name, head])).toEqual([
      ['a', 0],
      ['a', 1],
    ]);
    expect(window?.summary.outputError.mean).toBeGreaterThan(0.1);
    expect(window?.summary).toMatchObject({ keysExact: 50, violations: 0, calibration: null });
    expect(whole?.summary.outputError.mean).toBeLessThan(1e-5);
  });

  it('knows what a cache of fewer bits costs', () => {
    const [eight, four] = benchQuantizedCaches({ ...options, heads: [headOf(600)] });
    expect(eight).toMatchObject({ bytesPerKey: 68 });
    expect(four).toMatchObject({ bytesPerKey: 36 });
    expect(eight?.outputError).toBeLessThan((four?.outputError ?? 0) / 8);
    expect(four?.outputError).toBeGreaterThan(0.01);
  });

  it('stops when it is told to', async () => {
    const signal = AbortSignal.abort();
    const policies = [{ policy: 'sieve', budget: 'fixed:64' }];
    await expect(benchAttention({ ...options, signal, heads: [headOf(600)], policies })).rejects.toThrow();
  });
});
