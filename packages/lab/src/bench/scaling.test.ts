import { describe, expect, it } from 'vitest';
import { benchScaling } from './scaling.ts';

describe('bench scaling', () => {
  it('measures a policy and dense attention at every length, and how far each is from the truth', async () => {
    const seen: number[] = [];
    const result = await benchScaling({
      policy: { policy: 'sieve', budget: 'fixed:64' },
      lengths: [1024, 2048],
      headDim: 32,
      group: 2,
      onProgress: (_, done) => seen.push(done),
    });
    expect(result.lengths.map(({ n }) => n)).toEqual([1024, 2048]);
    expect(result.exponents).toBeNull();
    expect(seen).toEqual([0, 1, 2]);
    for (const { ms, operators, speedup, keysExact, keysQuantized, bytesPerKey, outputError } of result.lengths) {
      expect(ms.onnx.median).toBe(Math.min(...Object.values(operators).map(({ median }) => median)));
      for (const { low, median, high } of [ms.policy, ms.f16, ms.f32, speedup.f16, speedup.f32]) {
        expect(low).toBeGreaterThan(0);
        expect(low).toBeLessThanOrEqual(median);
        expect(median).toBeLessThanOrEqual(high);
      }
      expect(keysExact).toBeLessThanOrEqual(64);
      expect(keysExact + keysQuantized).toBeLessThanOrEqual(256);
      expect(bytesPerKey).toBeLessThan(2 * 32 * 2);
      // Roundings of float32 and of float16; and of a sample of 256 keys the part of the values that is not common.
      expect(outputError.f32).toBeLessThan(1e-5);
      expect(outputError.f16).toBeLessThan(5e-3);
      expect(outputError.policy).toBeLessThan(0.2);
    }
  });

  it('is aborted between lengths', async () => {
    const aborted = benchScaling({
      policy: { policy: 'sieve' },
      lengths: [1024],
      headDim: 32,
      group: 1,
      signal: AbortSignal.abort(),
    });
    await expect(aborted).rejects.toThrow();
  });
});
