import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { costOfFixed, findKeys, fitGrowth, fitSufficientPower } from './keys-for.ts';

/** A divergence that falls as a power of the keys, counted. */
function counted(divergence: (keys: number) => number) {
  const tried: number[] = [];
  const evaluate = async (keys: number) => {
    tried.push(keys);
    return divergence(keys);
  };
  return { tried, evaluate };
}

describe('the search for the fewest keys', () => {
  it('comes within 6 % of them in few evaluations, whatever the power and the guess', async () => {
    const search = fc.record({
      power: fc.double({ min: 0.7, max: 4, noNaN: true }),
      needed: fc.double({ min: 20, max: 5000, noNaN: true }),
      guess: fc.double({ min: 16, max: 8192, noNaN: true }),
    });
    await fc.assert(
      fc.asyncProperty(search, async ({ power, needed, guess }) => {
        const { tried, evaluate } = counted((keys) => 0.01 * (needed / keys) ** power);
        const keys = await findKeys(evaluate, { maxKl: 0.01, min: 16, max: 8192, guess });
        expect(keys).toBeGreaterThanOrEqual(needed - 1e-9);
        expect(keys).toBeLessThanOrEqual(Math.ceil(needed * 1.061) + 1);
        expect(tried).toContain(keys);
        expect(new Set(tried).size).toBe(tried.length);
        expect(tried.length).toBeLessThanOrEqual(14);
      }),
      { numRuns: 300, seed: 6 },
    );
  });

  it('takes a handful of evaluations for the power that is usual', async () => {
    const { tried, evaluate } = counted((keys) => 0.01 * (700 / keys) ** 2);
    await findKeys(evaluate, { maxKl: 0.01, min: 16, max: 8192, guess: 256 });
    expect(tried.length).toBeLessThanOrEqual(5);
  });

  it('ends with the least where that is enough, and with all where nothing less is', async () => {
    const search = { maxKl: 0.01, min: 16, max: 512, guess: 100 };
    expect(await findKeys(async () => 0.001, search)).toBe(16);
    expect(await findKeys(async () => 1, search)).toBe(512);
  });

  it('ends where a divergence does not fall steadily', async () => {
    const { evaluate } = counted((keys) => (0.01 * 300 ** 2 * (1 + 0.5 * Math.sin(keys))) / keys ** 2);
    const keys = await findKeys(evaluate, { maxKl: 0.01, min: 16, max: 8192, guess: 1000 });
    expect(keys).toBeGreaterThan(200);
    expect(keys).toBeLessThan(400);
  });
});

describe('the growth of the keys', () => {
  const lengths = [512, 1024, 2048, 4096];
  const needed = lengths.map((n) => 3 * n ** 0.5);

  it('is the exponent of a power law', () => {
    expect(fitGrowth(lengths, needed).C).toBeCloseTo(0.5, 9);
  });

  it('gives a law for all heads that is enough at every length, and no more than it has to be at one', () => {
    const rough = needed.map((keys, i) => keys * ([1, 1.2, 0.9, 1][i] as number));
    const { alpha, C, keys } = fitSufficientPower(lengths, rough);
    const spare = keys.map((each, i) => each - (rough[i] as number));
    expect(Math.min(...spare)).toBeGreaterThanOrEqual(-1e-6);
    expect(Math.min(...spare)).toBeLessThan(1);
    expect(keys[0]).toBe(Math.ceil(alpha * 512 ** C));
  });

  it('tells what a fixed budget costs that is enough at the longest', () => {
    expect(costOfFixed([10, 20, 40], [10, 20, 30])).toBe(2);
  });
});
