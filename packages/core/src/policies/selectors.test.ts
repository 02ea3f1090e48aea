import { describe, expect, it } from 'vitest';
import { createHeadBench } from '../../test/head-bench.ts';
import { keysOfShape } from '../../test/key-shapes.ts';
import { score64 } from '../../test/plain-attention.ts';
import { createRandom } from '../../test/random.ts';
import { selectorsOf } from '../../test/variants.ts';
import { parseBudget } from '../budgets/index.ts';
import createOracle from '../selectors/oracle.ts';
import { describeSelector } from '../selectors/selector.conformance.ts';
import createWindow from '../selectors/window.ts';

for (const create of selectorsOf().values()) describeSelector(create);

function benchOf(n: number) {
  const { keys, values, query } = keysOfShape('peaked', createRandom(2), n, 32);
  return { ...createHeadBench({ headDim: 32, keys, values }), row: query };
}

describe('the oracle', () => {
  it('takes sinks, recent keys, and of the others those with the largest scores', () => {
    const bench = benchOf(1000);
    for (const [n, count, sinks, recent] of [
      [1000, 100, 4, 32],
      [1000, 36, 4, 18],
      [1000, 5, 2, 3],
      [1000, 1, 0, 1],
      [130, 64, 4, 32],
      [70, 69, 4, 32],
    ] as const) {
      const query = bench.query(bench.row, n);
      const selection = createOracle().select(query, parseBudget(`fixed:${count}`));
      const problem = bench.problem(bench.row, n);
      const scores = Array.from({ length: n }, (_, position) => ({ position, score: score64(problem, 0, position) }));
      const best = scores
        .slice(sinks, n - recent)
        .sort((a, b) => b.score - a.score)
        .slice(0, count - sinks - recent);
      const kept = [...scores.slice(0, sinks), ...scores.slice(n - recent)];
      const expected = [...kept, ...best].map(({ position }) => position).sort((a, b) => a - b);
      expect([...bench.selectedPositions(query, selection.count)]).toEqual(expected);
      expect(selection.bytesScanned).toBe(n * 64);
    }
  });

  it('asks for hardly a key more than the mass needs', () => {
    const bench = benchOf(1000);
    for (const mass of [0.3, 0.05, 0.001]) {
      const query = bench.query(bench.row);
      const { count } = createOracle().select(query, parseBudget(`mass:${mass}`));
      const problem = bench.problem(bench.row);
      const weights = Array.from({ length: 1000 }, (_, position) => Math.exp(score64(problem, 0, position)));
      const total = weights.reduce((a, b) => a + b, 0);
      const middle = weights.slice(4, -32).sort((a, b) => b - a);
      let unread = middle.reduce((a, b) => a + b, 0);
      let needed = 36;
      while (unread > mass * total) unread -= middle[needed++ - 36] as number;
      expect(Math.abs(count - needed)).toBeLessThanOrEqual(1);
    }
  });
});

describe('the window', () => {
  it('takes the first keys and the last', () => {
    const bench = benchOf(200);
    for (const [count, sinks] of [
      [1, 0],
      [2, 1],
      [7, 3],
      [8, 4],
      [100, 4],
      [199, 4],
    ] as const) {
      const query = bench.query(bench.row);
      const selection = createWindow().select(query, parseBudget(`fixed:${count}`));
      const expected = Array.from({ length: count }, (_, i) => (i < sinks ? i : 200 - count + i));
      expect([...bench.selectedPositions(query, selection.count)]).toEqual(expected);
      expect(selection).toEqual({ count, bytesScanned: 0 });
    }
  });
});
