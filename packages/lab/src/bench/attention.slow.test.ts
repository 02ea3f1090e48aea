/** The sieve on heads of a real model: how far it is off at what it may read. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readCapture } from '../captures/read-capture.ts';
import { benchAttention } from './attention.ts';

const captureOf = (name: string) =>
  fileURLToPath(new URL(`../../../../../shared/captures/${name}.safetensors`, import.meta.url));

const measure = async (name: string, stride: number, budgets: readonly string[]) =>
  benchAttention({
    heads: await readCapture(captureOf(name)),
    policies: budgets.map((budget) => ({ policy: 'sieve', budget })),
    lastQueries: 128,
    stride,
    signal: new AbortController().signal,
    onProgress: () => {},
  });

describe.skipIf(!existsSync(captureOf('smollm2-8k')))('the sieve on captured heads', () => {
  it.each([
    { capture: 'smollm2-8k', stride: 4, errors: { 'fixed:256': 0.083, 'fixed:512': 0.05 } },
    { capture: 'smollm2-32k', stride: 16, errors: { 'fixed:1024': 0.02 } },
  ])(
    'is within three quarters of the error of page means, at an eighth of the bytes: $capture',
    async ({ capture, stride, errors }) => {
      const results = await measure(capture, stride, Object.keys(errors));
      for (const [i, most] of Object.values(errors).entries()) {
        const { outputError, bytesPerKey, denseBytesPerKey, violations } =
          results[i]?.summary ?? expect.fail('no result');
        expect(outputError.mean).toBeLessThanOrEqual(most);
        expect(bytesPerKey).toBeLessThanOrEqual(denseBytesPerKey / 8);
        expect(violations).toBe(0);
      }
    },
  );
});
