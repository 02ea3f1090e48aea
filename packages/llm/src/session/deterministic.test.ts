import { describe, expect, it } from 'vitest';
import { loadModel } from './load-model.ts';
import type { SessionOptions } from './session-options.ts';

const FACTS = Array.from({ length: 48 }, (_, i) => `The number of grey heron ${i} is ${(i * 7919) % 10_000}. `).join(
  '',
);
const QUESTION = `${FACTS}The number of grey heron 31 is `;
const OPTIONS = { maxTokens: 12, temperature: 1, seed: 7 };

/** Tokens of the same question in one session, after another question, with a prefix in the cache, and in a new session. */
async function answers(precision: 'fp32' | 'a8' | 'w8a8', threads: number, options: SessionOptions) {
  await using model = await loadModel('nano', { precision, threads });
  const tokens: number[][] = [];
  for (let sessions = 0; sessions < 2; sessions++) {
    await using session = await model.createSession({ ...options, deterministic: true });
    if (sessions === 1) await session.generate(`${FACTS.slice(0, 1500)}What else?`, { maxTokens: 3 }).result;
    for (let turns = 0; turns < 2; turns++) {
      const result = await session.generate(QUESTION, OPTIONS).result;
      expect(result.dependsOn).toEqual([]);
      tokens.push(result.tokens);
    }
  }
  return tokens;
}

describe.for(['fp32', 'a8', 'w8a8'] as const)('a deterministic session in %s', (precision) => {
  it.for([
    ['the sieve', { attention: { policy: 'sieve', budget: 'fixed:16' } }],
    ['full attention', { attention: { policy: 'dense' } }],
  ] as const)(
    'gives one answer by %s, whatever is in the cache and with any number of threads',
    async ([, options]) => {
      const all: number[][] = [];
      for (const threads of [1, 2, 3]) all.push(...(await answers(precision, threads, options)));
      for (const tokens of all) expect(tokens).toEqual(all[0]);
    },
  );
});
