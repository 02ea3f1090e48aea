import { loadModel } from '@keysieve/llm';
import { expect, it } from 'vitest';
import { benchBounded, GENERATED_TOKENS } from './bounded.ts';

it('reads a text in the same memory at every length, and says what is gone', async () => {
  const lengths = [768, 1536];
  const context = 1536 + 2 * GENERATED_TOKENS;
  await using model = await loadModel('nano', { precision: 'fp32', threads: 1, context });
  const text = 'The lighthouse keeper rose before dawn and climbed the iron stairs to trim the lamp. ';
  const attention = { policy: 'remains', budget: 'fixed:64' };
  const read: number[] = [];
  const onProgress = (_: string, done: number) => read.push(done);
  const result = await benchBounded({ model, text, attention, lengths, onProgress });
  expect(result.lengths.map(({ tokens }) => tokens)).toEqual(lengths);
  expect(read.at(-1)).toBe(1536);
  const [first, second] = result.lengths;
  // Pages of 64 slots: what has come since keys were last dropped is no multiple of them.
  expect(second?.bytes).toBeLessThan(1.2 * (first?.bytes as number));
  for (const { readPerSecond, generatedPerSecond, gone, goneAtLeast, residentBytes, bytes } of result.lengths) {
    expect(readPerSecond).toBeGreaterThan(0);
    expect(generatedPerSecond).toBeGreaterThan(0);
    expect(residentBytes).toBeGreaterThan(bytes);
    expect(gone).toBeGreaterThan(0);
    expect(goneAtLeast).toBeGreaterThan(0);
    expect(goneAtLeast).toBeLessThanOrEqual(gone);
  }
  await expect(benchBounded({ model, text, lengths, attention: { policy: 'sieve' } })).rejects.toMatchObject({
    code: 'invalid-argument',
  });
});
