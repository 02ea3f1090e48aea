import { describe, expect, it } from 'vitest';
import { createHeadBench } from '../../test/head-bench.ts';
import { distance } from '../../test/plain-attention.ts';
import { createRandom } from '../../test/random.ts';
import { parseBudget } from '../budgets/index.ts';
import { logSumExp, primaryRegion } from '../group/group-work.ts';
import { keysBefore } from '../group/parts.ts';
import { PAGE_KEYS, rotatedDim } from '../kernels/layout.ts';
import { planSieveStep } from './plan.ts';
import { attendSievePart, mergeSieveParts, partBytes, stepForPart } from './split-step.ts';
import { attendSieve } from './step.ts';

const [HEAD_DIM, ROWS] = [64, 3];

function benchOf(n: number) {
  const random = createRandom(n);
  const numbers = { keys: random.normals(n * HEAD_DIM), values: random.normals(n * HEAD_DIM).map((x) => x + 1) };
  const bench = createHeadBench({ headDim: HEAD_DIM, ...numbers, encodings: ['int4'] });
  const query = bench.query(random.normals(ROWS * HEAD_DIM).map((x) => 2 * x));
  // The parts are merged where rows of scores lie, which a step is done with then.
  const { kernels, views, workspace } = primaryRegion(query);
  const inParts = (budget: string, parts: number) => {
    const sums = new Float32Array((parts * partBytes(ROWS, HEAD_DIM)) / 4);
    const copies = () => ({ ...views(), f32: sums });
    for (let part = 0; part < parts; part++) {
      attendSievePart(query, parseBudget(budget), { part, parts }, copies, part * partBytes(ROWS, HEAD_DIM));
    }
    const address = workspace.scores;
    views().f32.set(sums, address / 4);
    return mergeSieveParts(query, parts, kernels, views, address);
  };
  return { query, inParts };
}

describe('the parts of a step', () => {
  it('have every key once, and all of the sample', () => {
    for (const n of [4096, 4100, 4159, 4160, 5000]) {
      const { query } = benchOf(n);
      const step = planSieveStep(query, parseBudget('fixed:100')) as NonNullable<ReturnType<typeof planSieveStep>>;
      for (const parts of [1, 2, 3, 5]) {
        const numbers = Array.from({ length: parts }, (_, part) => ({ part, parts }));
        for (const position of [0, 1, 63, 64, 200, n - 1, n]) {
          const before = numbers.map((part) => keysBefore(position, part));
          expect(before.reduce((a, b) => a + b)).toBe(position);
        }
        const steps = numbers.map((part) => stepForPart(step, part));
        const sum = (of: (part: (typeof steps)[number]) => number) =>
          steps.reduce((total, part) => total + of(part), 0);
        expect(sum(({ plan }) => plan.sinks)).toBe(step.plan.sinks);
        expect(sum(({ plan }) => plan.recentFrom)).toBe(step.plan.recentFrom);
        expect(sum(({ plan }) => plan.maxKeys)).toBeGreaterThanOrEqual(step.plan.maxKeys);
        expect(sum(({ plan }) => plan.maxKeys)).toBeLessThan(step.plan.maxKeys + parts);
        // Only the part with the open page has keys beside whole pages.
        expect(sum((part) => part.n % PAGE_KEYS)).toBe(n % PAGE_KEYS);
        if (parts === 1) expect(steps[0]).toEqual(step);
      }
    }
  });

  it('add up to the whole step, where the sample has all keys', () => {
    const { query, inParts } = benchOf(1100);
    const whole = attendSieve(query, parseBudget('fixed:400')) as NonNullable<ReturnType<typeof attendSieve>>;
    for (const parts of [1, 2, 3]) {
      const merged = inParts('fixed:400', parts);
      expect(merged.keysExact + merged.keysQuantized).toBe(1100);
      for (let row = 0; row < ROWS; row++) {
        const [a, b] = [merged, whole].map(({ outputs }) => outputs.subarray(row * HEAD_DIM, (row + 1) * HEAD_DIM));
        const size = Math.hypot(...(b as Float32Array));
        // Which keys are attended exactly differs: what their codes round is left.
        expect(distance(a as Float32Array, Float64Array.from(b as Float32Array)).norm).toBeLessThan(
          parts === 1 ? 1e-6 : 0.02 * size,
        );

        expect(logSumExp(merged.totalSums[row] as never)).toBeCloseTo(logSumExp(whole.totalSums[row] as never), 1);
      }
      if (parts === 1) expect({ ...merged, outputs: 0 }).toEqual({ ...whole, outputs: 0 });
    }
  });

  it('need no more room than they say', () => {
    expect(partBytes(ROWS, HEAD_DIM)).toBeGreaterThan(4 * ROWS * rotatedDim(HEAD_DIM) * 4);
    expect(partBytes(ROWS, HEAD_DIM) % 16).toBe(0);
  });
});
