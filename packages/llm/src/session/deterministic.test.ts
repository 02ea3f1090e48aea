import { describe, expect, it } from 'vitest';
import { loadModel, type Model } from './load-model.ts';
import type { SessionOptions } from './session-options.ts';

const FACTS = Array.from({ length: 17 }, (_, i) => `The number of grey heron ${i} is ${(i * 7919) % 10_000}. `).join(
  '',
);
/** Of more than 512 tokens, so that a part of it is reused. */
const QUESTION = `${FACTS}The number of grey heron 11 is `;
const OPTIONS = { maxTokens: 8, temperature: 1, seed: 7 };

/** Tokens of a question in a new session, again behind its answer, and behind another question with the same beginning. */
async function answers(model: Model, options: SessionOptions): Promise<number[][]> {
  await using session = await model.createSession({ ...options, deterministic: true });
  const tokens: number[][] = [];
  for (let turn = 0; turn < 3; turn++) {
    if (turn === 2) await session.generate(`${FACTS.slice(0, 560)}What else?`, { maxTokens: 2 }).result;
    const result = await session.generate(QUESTION, OPTIONS).result;
    expect(result.dependsOn).toEqual([]);
    tokens.push(result.tokens);
  }
  return tokens;
}

describe.for(['fp32', 'a8', 'w8a8'] as const)('a deterministic session in %s', (precision) => {
  it('gives one answer, whatever is in the cache and with any number of threads', async () => {
    const kinds: SessionOptions[] = [
      { attention: { policy: 'sieve', budget: 'fixed:16' } },
      { attention: { policy: 'sieve', budget: 'fixed:16' }, scan: 'basis' },
      { attention: { policy: 'dense' } },
    ];
    const tokens: number[][][] = kinds.map(() => []);
    for (const threads of [1, 2]) {
      await using model = await loadModel('nano', { precision, threads });
      for (const [kind, options] of kinds.entries()) tokens[kind]?.push(...(await answers(model, options)));
    }
    for (const each of tokens) for (const other of each) expect(other).toEqual(each[0]);
  });
});
