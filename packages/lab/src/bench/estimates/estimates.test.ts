import { describe, expect, it } from 'vitest';
import { estimatesDocument } from './document.ts';
import { benchEstimates, summarizeEstimates } from './estimates.ts';
import { type Plant, plantedHead, plantedSets } from './planted.ts';
import { describeEstimates, estimatesTable } from './table.ts';

describe('estimates against true errors', () => {
  it('hold where 95 % of the errors are below twice the estimate, and the median of the ratio is at most 3', () => {
    const rows = (count: number, error: number, estimate: number | null) =>
      Array.from({ length: count }, () => ({ error, estimate }));
    expect(summarizeEstimates(rows(20, 0.1, 0.1))).toMatchObject({ ratio: 1, withinTwice: 1, unknown: 0, holds: true });
    expect(summarizeEstimates([...rows(18, 0.1, 0.1), ...rows(2, 0.1, 0.04)]).holds).toBe(false);
    expect(summarizeEstimates(rows(20, 0.1, 0.31)).holds).toBe(false);
    expect(summarizeEstimates([...rows(10, 0.1, 0.1), ...rows(10, 9, null)])).toMatchObject({
      unknown: 0.5,
      holds: true,
    });
  });

  it('are measured for answers and for prompts, on what is given and on planted keys', async () => {
    const flat = plantedSets([]).flat as Plant;
    const heads = [{ name: 'flat', ...plantedHead(flat, 1, { n: 1024, headDim: 32, group: 2, lastQueries: 64 }) }];
    const policy = { policy: 'sieve', budget: 'fixed:40' };
    const results = await benchEstimates({ captured: [{ name: 'mine', heads }], keys: 1024, policy });
    const mine = results.filter(({ set }) => set === 'mine');
    expect(mine.map(({ reading }) => reading)).toEqual(['answer', 'prompt']);
    expect(mine.map(({ rows }) => rows.length)).toEqual([2 * 16, 2 * 16]);
    const table = estimatesTable(results);
    expect(table.rows).toHaveLength(results.length);
    expect(table.rows.filter(([name]) => name?.startsWith('normal'))).not.toHaveLength(0);
    expect(estimatesDocument(results)).toContain('| mine | answer | 32 |');
    expect(describeEstimates(results)).toMatch(/^\d+ of \d+ hold/);
  });
});
