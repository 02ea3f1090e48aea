import { describe, expect, it } from 'vitest';
import { createHeadBench, type HeadBenchOptions, SMALL_ARENA_BYTES } from '../../test/head-bench.ts';
import { attention64, distance } from '../../test/plain-attention.ts';
import { createRandom } from '../../test/random.ts';
import { swingingKeys } from '../../test/swinging-keys.ts';
import { attendByPolicy } from '../attention/decode.ts';
import { parseBudget } from '../budgets/index.ts';
import { scoreRounding } from '../group/quantized-work.ts';
import { createPolicy, type SparseParts } from '../policies/policy.ts';
import type { Selector } from '../selectors/selector.ts';
import { FINER_KEYS_PER_BUDGET_KEY, MAX_FINER_ROUNDING, MAX_SCORE_ROUNDING } from './constants.ts';
import { selectByFinerDraw } from './finer-draw.ts';

const D = 64;
const ROWS = 2;
const BUDGET = 'fixed:60';

/** The sieve, but for its first draw. */
function finerDrawOnly(): SparseParts {
  const { step: _, ...parts } = createPolicy({ policy: 'sieve', budget: BUDGET }).sparse as SparseParts;
  const select: Selector['select'] = (work, budget) => {
    const selection = selectByFinerDraw(work, budget);
    if (selection === undefined) throw new Error('The finer draw gave up.');
    return selection;
  };
  return { ...parts, selector: { ...parts.selector, select } };
}

function benchOf(n: number, bias: number, options: Partial<HeadBenchOptions> = {}) {
  const random = createRandom(n);
  const values = random.normals(n * D);
  const keys = swingingKeys(n, bias, D);
  return {
    bench: createHeadBench({ headDim: D, keys, values, encodings: ['int4'], ...options }),
    queries: random.normals(ROWS * D),
  };
}

describe('a draw by 4-bit scores', () => {
  it.each([
    ['f16', {}],
    ['f32, over several regions', { precision: 'f32', arenaBytes: 4 * SMALL_ARENA_BYTES }],
    ['int8', { precision: 'int8', encodings: ['sign', 'int4', 'int8', 'values'] }],
  ] as const)('is about as exact as it says, %s', (_, options) => {
    let [squares, estimated] = [0, 0];
    for (let n = 1200; n < 1212; n++) {
      const { bench, queries } = benchOf(n, 25, options as Partial<HeadBenchOptions>);
      const truth = attention64(bench.problem(queries)).outputs;
      const { outputs, results } = attendByPolicy(bench.query(queries), finerDrawOnly());
      for (const [row, { outputError, keysExact, keysQuantized }] of results.entries()) {
        const exact = truth.subarray(row * D, (row + 1) * D);
        squares += (distance(outputs.subarray(row * D, (row + 1) * D), exact).norm / Math.hypot(...exact)) ** 2;
        estimated += outputError ** 2;
        expect(keysExact).toBeLessThanOrEqual(FINER_KEYS_PER_BUDGET_KEY * 60);
        expect(keysQuantized).toBe(0);
      }
    }
    expect(Math.sqrt(squares / estimated)).toBeGreaterThan(0.3);
    expect(Math.sqrt(squares / estimated)).toBeLessThan(1.2);
  });

  it('lists keys in order, the first and the last of all among them', () => {
    const { bench, queries } = benchOf(1200, 25);
    const work = bench.query(queries);
    expect(scoreRounding(work)).toBeGreaterThan(MAX_SCORE_ROUNDING);
    const budget = parseBudget(BUDGET);
    const { count } = selectByFinerDraw(work, budget) as NonNullable<ReturnType<typeof selectByFinerDraw>>;
    const positions = bench.selectedPositions(work, count);
    expect([...positions]).toEqual([...new Set(positions)].sort((a, b) => a - b));
    expect([...positions.subarray(0, 4)]).toEqual([0, 1, 2, 3]);
    expect([...positions.subarray(-32)]).toEqual(Array.from({ length: 32 }, (_, i) => 1200 - 32 + i));
  });

  it('gives up where 4 bits tell too little, and where it would read most keys', () => {
    const far = benchOf(1200, 150);
    const work = far.bench.query(far.queries);
    expect(scoreRounding(work)).toBeGreaterThan(MAX_FINER_ROUNDING);
    expect(selectByFinerDraw(work, parseBudget(BUDGET))).toBeUndefined();
    const near = benchOf(1200, 25);
    expect(selectByFinerDraw(near.bench.query(near.queries), parseBudget('fixed:400'))).toBeUndefined();
  });
});
