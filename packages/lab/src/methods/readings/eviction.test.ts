import { describe, expect, it } from 'vitest';
import { captureFixture } from '../../../test/capture-fixture.ts';
import type { CapturedHead } from '../../captures/captured-head.ts';
import {
  errorTable,
  evictionErrors,
  evictionHead,
  evictionHeads,
  keepLast,
  keepMost,
  keepSnapkv,
  snapkvWorth,
  TESTED,
  WINDOW,
} from './eviction.ts';

const captured = captureFixture()[0] as CapturedHead;
const head = evictionHead(captured, 8);

describe('evictions on captured heads', () => {
  it('lose nothing where every key of the prompt is kept', () => {
    const errors = evictionErrors(head, keepLast(head, head.prompt));
    expect(Math.max(...errors)).toBeLessThan(1e-12);
    expect(errors).toHaveLength(captured.group * (TESTED / 8));
  });

  it('lose less with more keys', () => {
    const errorOf = (count: number) => evictionErrors(head, keepSnapkv(head, count)).reduce((sum, x) => sum + x, 0);
    expect(errorOf(256)).toBeLessThan(errorOf(64));
  });

  it('keep the first keys and the window whatever they are worth, and the best of the others', () => {
    const worth = new Float64Array(head.prompt);
    worth[100] = 2;
    worth[200] = 1;
    const kept = [...keepMost(head, worth, 4 + WINDOW + 1)];
    expect(kept.slice(0, 5)).toEqual([0, 1, 2, 3, 100]);
    expect(kept.slice(-WINDOW)).toEqual(Array.from({ length: WINDOW }, (_, i) => head.prompt - WINDOW + i));
  });

  it('count every query of the window in the votes', () => {
    const votes = head.votes.reduce((sum, x) => sum + x, 0);
    expect(votes).toBeCloseTo(WINDOW * captured.group, 9);
  });

  it('pool votes over seven keys', () => {
    const votes = new Float64Array(head.prompt);
    votes[50] = 3;
    const worth = snapkvWorth({ ...head, votes });
    expect([...worth.subarray(46, 55)]).toEqual([0, 3, 3, 3, 3, 3, 3, 3, 0]);
  });

  it('refuse captures with too few queries', () => {
    const heads = captureFixture({ lastQueries: 64 });
    const call = () => evictionHeads({ heads, seed: 1, policies: [] });
    expect(call).toThrow(expect.objectContaining({ code: 'invalid-argument', found: '64 of l0.g0' }));
  });
});

describe('the table of errors', () => {
  it('has a row a name and a column a number of keys', () => {
    const point = (name: string, cost: number, error: number) => ({ name, cost, error });
    const table = errorTable('errors', [point('a', 256, 0.12345), point('a', 512, 0.05), point('b', 512, 1)]);
    expect(table.columns).toEqual(['', '256', '512']);
    expect(table.rows).toEqual([
      ['a', '0.123', '0.05'],
      ['b', '', '1'],
    ]);
  });
});
