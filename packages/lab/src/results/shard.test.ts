import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cellId } from './cell.ts';
import { cellsOfShard, parseShard } from './shard.ts';

describe('the share of a shard', () => {
  it('is read from numbers, and from what Kubernetes or Slurm tell', () => {
    expect(parseShard('2/8', {})).toEqual({ index: 2, count: 8 });
    expect(parseShard('auto/8', { JOB_COMPLETION_INDEX: '0' })).toEqual({ index: 1, count: 8 });
    expect(parseShard('auto/4', { SLURM_ARRAY_TASK_ID: '3' })).toEqual({ index: 4, count: 4 });
    const array = { SLURM_ARRAY_TASK_ID: '5', SLURM_ARRAY_TASK_MIN: '3', SLURM_ARRAY_TASK_COUNT: '6' };
    expect(parseShard('auto', array)).toEqual({ index: 3, count: 6 });
  });

  it.each([
    ['0/8', {}],
    ['9/8', {}],
    ['1/0', {}],
    ['1.5/3', {}],
    ['2', {}],
    ['auto', {}],
    ['auto/8', {}],
    ['auto', { JOB_COMPLETION_INDEX: '1' }],
    ['auto/2', { JOB_COMPLETION_INDEX: '2' }],
    ['auto/2', { SLURM_ARRAY_TASK_ID: 'x' }],
  ])('is refused where it is none: %s, %j', (text, environment) => {
    expect(() => parseShard(text, environment)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
  });

  it('has every cell once, in order, with no more tokens than a cell too many', () => {
    const cells = fc.array(fc.integer({ min: 1, max: 9000 }), { maxLength: 60 });
    fc.assert(
      fc.property(cells, fc.integer({ min: 1, max: 12 }), (tokens, count) => {
        const all = tokens.map((each, index) => ({ tokens: each, index }));
        const shards = Array.from({ length: count }, (_, i) => cellsOfShard(all, { index: i + 1, count }));
        expect(shards.flat()).toEqual(all);
        const sum = (shard: readonly { tokens: number }[]) => shard.reduce((total, each) => total + each.tokens, 0);
        for (const shard of shards) {
          expect(sum(shard)).toBeLessThanOrEqual(sum(all) / count + Math.max(0, ...tokens) + 1e-6);
        }
      }),
    );
  });
});

describe('the identity of a cell', () => {
  it('follows from its settings and its key', () => {
    const cell = { run: { model: 'a', threads: 1 }, key: { policy: 'sieve', budget: 'fixed:9' } };
    expect(cellId(cell)).toMatch(/^[0-9a-f]{64}$/);
    expect(cellId(structuredClone(cell))).toBe(cellId(cell));
    expect(cellId({ ...cell, run: { model: 'a', threads: 2 } })).not.toBe(cellId(cell));
    expect(cellId({ ...cell, key: { ...cell.key, budget: 'fixed:8' } })).not.toBe(cellId(cell));
  });
});
