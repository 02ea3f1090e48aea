import { describe, expect, it } from 'vitest';
import { ladderSpecs, type QualityTarget, type Setting, suggest } from './suggest.ts';

const setting = (policy: string, kl: number, high: number, bytesPerKey: number, msPerToken: number): Setting => ({
  policy,
  budget: 'fixed:64',
  prefill: { policy: 'dense', budget: null },
  bytesPerKey,
  msPerToken,
  kl: { mean: kl, p95: 3 * kl, interval: [kl / 2, high] },
});

const evaluationOf = (policies: Setting[]): Parameters<typeof suggest>[0] => ({
  dense: { nll: 3, bytesPerKey: 256 },
  policies,
  times: {
    machine: { processor: 'invented', threads: 1, load: 0 },
    prefills: [],
    steps: [{ policy: 'dense', budget: null, msPerToken: 30 }, ...policies].map(({ policy, budget, msPerToken }) => ({
      policy,
      budget,
      msPerToken: msPerToken as number,
      attentionMsPerToken: 0,
    })),
  },
});

const SETTINGS = [
  setting('quest', 0.005, 0.008, 40, 20),
  setting('sieve', 0.009, 0.012, 15, 25),
  setting('window', 0.2, 0.3, 5, 10),
  setting('int8', 0.001, 0.002, 20, 40),
  // It reads every key, and so has no budget.
  { ...setting('dense', 0, 0, 1, 1), budget: null },
];
const TARGET: QualityTarget = { kl: 0.01, by: 'bytes' };

describe('the suggestion', () => {
  it('is the cheapest setting whose whole interval holds, and tells of a cheaper one whose mean does', () => {
    const byBytes = suggest(evaluationOf(SETTINGS), TARGET);
    expect(byBytes.setting?.policy).toBe('int8');
    expect(byBytes.probable?.policy).toBe('sieve');
    expect(byBytes.denseIsCheaper).toBe(false);
    const byTime = suggest(evaluationOf(SETTINGS), { ...TARGET, by: 'time' });
    expect(byTime.setting?.policy).toBe('quest');
    expect(byTime.probable).toBeNull();
  });

  it('says that none holds, and where dense attention costs less', () => {
    const none = suggest(evaluationOf(SETTINGS), { ...TARGET, kl: 1e-4 });
    expect(none).toMatchObject({ setting: null, probable: null, denseIsCheaper: false });
    const slow = suggest(evaluationOf([setting('int8', 0.001, 0.002, 20, 40)]), { ...TARGET, by: 'time' });
    expect(slow.denseIsCheaper).toBe(true);
  });

  it('comes from a ladder of budgets below the context', () => {
    expect(ladderSpecs(200, ['quest'])).toEqual([
      { policy: 'quest', budget: 'fixed:64' },
      { policy: 'quest', budget: 'fixed:128' },
    ]);
  });
});
