import { describe, expect, it } from 'vitest';
import { type Setting, type Suggestion, suggest } from '../eval/suggest.ts';
import { describeSuggestion } from './suggestion.ts';

const setting = (policy: string, kl: number, high: number, bytesPerKey: number, msPerToken: number): Setting => ({
  policy,
  budget: 'fixed:64',
  prefill: { policy: 'dense', budget: null },
  bytesPerKey,
  msPerToken,
  kl: { mean: kl, p95: 3 * kl, interval: [kl / 2, high] },
});

const timesOf = (policies: Setting[]) => ({
  machine: { processor: 'invented', threads: 1, load: 0 },
  prefills: [],
  steps: [{ policy: 'dense', budget: null, msPerToken: 30 }, ...policies].map(({ policy, budget, msPerToken }) => ({
    policy,
    budget,
    msPerToken: msPerToken as number,
    attentionMsPerToken: 0,
  })),
});

const suggestionOf = (policies: Setting[], kl: number, by: 'bytes' | 'time'): Suggestion =>
  suggest({ dense: { nll: 3, bytesPerKey: 256 }, policies, times: timesOf(policies) }, { kl, by });

const [SIEVE, INT8] = [setting('sieve', 0.009, 0.012, 15, 25), setting('int8', 0.001, 0.002, 20, 40)];

describe('a suggestion', () => {
  it('is said with the options to type and its figures, and a cheaper setting that may do', () => {
    const text = describeSuggestion(suggestionOf([SIEVE, INT8], 0.01, 'bytes'), 30);
    expect(text).toContain(
      '--policy int8 --budget fixed:64: KL 0.001 (95 % interval 0.0005 to 0.002), 20.0 bytes a key',
    );
    expect(text).toContain('--policy sieve --budget fixed:64 is cheaper and may meet it');
  });

  it('says that no setting does', () => {
    const text = describeSuggestion(suggestionOf([SIEVE, INT8], 1e-4, 'bytes'), 30);
    expect(text).toContain('None of these settings meets a KL of at most 0.0001');
  });

  it('says where full attention is faster', () => {
    expect(describeSuggestion(suggestionOf([INT8], 0.01, 'time'), 30)).toContain('full attention is faster: 30.0 ms');
  });
});
