import { describe, expect, it } from 'vitest';
import { benchMemory } from './memory.ts';

describe('bench memory', () => {
  it('fills a cache, and finds it as large as was predicted', async () => {
    const attention = { policy: 'sieve', budget: 'fixed:32' };
    const filling: number[] = [];
    const { encodingSets, filled, ...rest } = await benchMemory({
      model: 'nano',
      load: { precision: 'fp32', threads: 1 },
      attention,
      precisions: ['f16', 'int8'],
      tokens: 1000,
      onProgress: (_, done) => filling.push(done),
    });
    expect(rest).toMatchObject({ threads: 1, tokens: 1000 });
    expect(filling).toEqual([512, 1000, 1512, 2000]);
    const bytesOf = (precision: string, policy: string) =>
      encodingSets.find((set) => set.precision === precision && set.policy === policy)?.bytesPerToken as number;
    expect(bytesOf('int8', 'sieve')).toBeLessThan(bytesOf('f16', 'sieve'));
    expect(bytesOf('f16', 'dense')).toBeLessThan(bytesOf('f16', 'sieve'));
    expect(bytesOf('f16', 'sieve')).toBeLessThan(bytesOf('f16', 'sieve, certified'));
    for (const [i, precision] of (['f16', 'int8'] as const).entries()) {
      const result = filled[i];
      expect(result).toMatchObject({ precision, attention });
      // Whole pages, and the buffers of the attention beside them.
      expect(result?.bytes).toBeGreaterThan(bytesOf(precision, 'sieve') * 1000);
      expect(result?.residentBytes).toBeGreaterThan(result?.bytes as number);
      expect(result?.peakBytes).toBeGreaterThan(0);
      expect(result?.stepMs.low).toBeGreaterThan(0);
    }
  });

  it('is aborted while it fills', async () => {
    const aborted = new AbortController();
    const filling = benchMemory({
      model: 'nano',
      load: { precision: 'fp32', threads: 1 },
      attention: { policy: 'dense' },
      precisions: ['f16'],
      tokens: 4096,
      signal: aborted.signal,
      onProgress: () => aborted.abort(),
    });
    await expect(filling).rejects.toThrow();
  });
});
