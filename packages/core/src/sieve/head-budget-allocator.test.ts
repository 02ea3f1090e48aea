import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BLOCK_ERROR_NUMBERS, HeadBudgetAllocator } from './head-budget-allocator.ts';

const [LAYERS, HEADS] = [3, 2];

/** Has every head show an error, squared and relative to a block's output of 1, with the shares that it has now. */
function learnAll(
  shares: HeadBudgetAllocator,
  squaredError: (layer: number, head: number, share: number) => number,
  { from, to }: { from: number; to: number } = { from: 0, to: 64 },
): void {
  for (let layer = 0; layer < LAYERS; layer++) {
    const now = shares.allocate(layer);
    const exchange = new Float32Array(8 + 4 * BLOCK_ERROR_NUMBERS);
    // Two blocks for each head.
    for (let task = 0; task < 2 * HEADS; task++) {
      const head = task % HEADS;
      exchange.set([squaredError(layer, head, now[head] as number), 1], 8 + task * BLOCK_ERROR_NUMBERS);
    }
    shares.update({ layer, n: to, blockErrors: 32, budgetFactors: now }, 2 * HEADS, exchange, from);
  }
}

const allOf = (shares: HeadBudgetAllocator) =>
  Array.from({ length: LAYERS }, (_, layer) => shares.allocate(layer)).flat();

describe('the shares of heads in a budget', () => {
  it('are the same until all heads are factors, and after they were forgotten', () => {
    const shares = new HeadBudgetAllocator(LAYERS, HEADS);
    expect(allOf(shares)).toEqual(new Array(6).fill(1));
    learnAll(shares, (layer) => 1 + layer);
    expect(new Set(allOf(shares)).size).toBe(LAYERS);
    shares.truncate(32);
    expect(allOf(shares)).toEqual(new Array(6).fill(1));
  });

  it('are as before the last tokens where these are taken back, and stay where nothing is', () => {
    const shares = new HeadBudgetAllocator(LAYERS, HEADS);
    learnAll(shares, (layer) => 1 + layer, { from: 0, to: 64 });
    const factors = allOf(shares);
    shares.truncate(64);
    expect(allOf(shares)).toEqual(factors);
    learnAll(shares, (layer) => 9 - layer, { from: 64, to: 128 });
    expect(allOf(shares)).not.toEqual(factors);
    shares.truncate(64);
    expect(allOf(shares)).toEqual(factors);
    shares.truncate(32);
    expect(allOf(shares)).toEqual(new Array(6).fill(1));
  });

  it('make the squared errors of all heads fall with equal slopes, and use the whole budget', () => {
    const level = fc.double({ min: 0.1, max: 1, noNaN: true });
    fc.assert(
      fc.property(fc.array(level, { minLength: 6, maxLength: 6 }), (levels) => {
        const shares = new HeadBudgetAllocator(LAYERS, HEADS);
        const errorOf = (layer: number, head: number, share: number) =>
          (levels[layer * HEADS + head] as number) / share ** 1.5;
        for (let turn = 0; turn < 4; turn++) learnAll(shares, errorOf);
        const factors = allOf(shares);
        expect(factors.reduce((sum, share) => sum + share, 0)).toBeCloseTo(6, 5);
        const slopes = factors.map((share, i) => (levels[i] as number) / share ** 2.5);
        for (const slope of slopes) expect(slope / (slopes[0] as number)).toBeCloseTo(1, 4);
      }),
    );
  });

  it('have limits', () => {
    const shares = new HeadBudgetAllocator(LAYERS, HEADS);
    learnAll(shares, (layer, head) => (layer === 0 && head === 0 ? 1e6 : 1e-6));
    expect(shares.allocate(0)).toEqual([4, 1 / 8]);
  });

  it('stay where a block of the job has drawn no sample', () => {
    const shares = new HeadBudgetAllocator(LAYERS, HEADS);
    learnAll(shares, (layer) => 1 + layer);
    const before = allOf(shares);
    const exchange = Float32Array.of(5, 1, 5, 0);
    shares.update({ layer: 1, n: 128, blockErrors: 0, budgetFactors: [1, 1] }, 2, exchange, 64);
    expect(allOf(shares)).toEqual(before);
  });
});
