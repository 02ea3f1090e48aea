import { describe, expect, it } from 'vitest';
import { measureExtrapolation } from './extrapolation.ts';
import { fitGrowth, type LogKeys, predictMeanKeys, shrinkSlopes } from './growth.ts';

/** Queries whose keys are alpha n^C, each once above and once below by a factor. */
function queriesOf(alpha: number, C: number, lengths: readonly number[], factor = 1): LogKeys {
  const n = lengths.flatMap((length) => [length, length]);
  const keys = n.map((length, i) => alpha * length ** C * (i % 2 === 0 ? factor : 1 / factor));
  return { logN: Float64Array.from(n, Math.log), logKeys: Float64Array.from(keys, Math.log) };
}

describe('fitGrowth', () => {
  it('finds a planted law, without an error where there is no noise', () => {
    const { logN, logKeys, C } = fitGrowth(queriesOf(3, 0.6, [512, 2048]));
    expect(C.value).toBeCloseTo(0.6, 10);
    expect(C.error).toBeCloseTo(0, 6);
    expect(logN).toBeCloseTo(Math.log(1024), 10);
    expect(Math.exp(logKeys)).toBeCloseTo(3 * 1024 ** 0.6, 6);
  });

  it('has the standard error of the slope', () => {
    // Residuals of ln 2 at four points, two of them ln 2 away from the mean of ln n on either side.
    const { C } = fitGrowth(queriesOf(3, 0.6, [512, 2048], 2));
    expect(C.error).toBeCloseTo(Math.sqrt((4 * Math.LN2 ** 2) / 2 / (4 * Math.LN2 ** 2)), 10);
  });

  it('knows nothing of growth from a single length', () => {
    expect(fitGrowth(queriesOf(3, 0.6, [512])).C).toEqual({ value: 0, error: Number.MAX_VALUE });
  });
});

describe('predictMeanKeys', () => {
  it.for([
    [0.5, 4000, 100],
    [0, 4000, 50],
    // Never more keys than there are, nor fewer than one.
    [3, 100_000, 100_000],
    [-9, 100_000, 1],
  ] as const)('with the slope %d predicts for %d keys %d', ([slope, n, keys]) => {
    const growth = fitGrowth(queriesOf(50, 0, [1000]));
    expect(predictMeanKeys(growth, slope, n)).toBeCloseTo(keys, 6);
  });

  it('predicts means, which are far above the exponential of mean logarithms where queries differ', () => {
    // Nine of ten queries need 1 key, and one needs 200: 20.9 on average, at every length.
    const n = [1024, 2048, 4096].flatMap((length) => new Array<number>(10).fill(length));
    const keys = n.map((_, i) => (i % 10 === 0 ? 200 : 1));
    const growth = fitGrowth({ logN: Float64Array.from(n, Math.log), logKeys: Float64Array.from(keys, Math.log) });
    expect(Math.exp(growth.logKeys)).toBeLessThan(2);
    for (const length of [1024, 4096, 131_072]) {
      expect(predictMeanKeys(growth, growth.C.value, length)).toBeCloseTo(20.9, 6);
    }
  });
});

describe('shrinkSlopes', () => {
  it('gives heads of few noisy queries the slope of all', () => {
    const steady = fitGrowth(queriesOf(3, 0.5, [512, 1024, 2048, 4096], 1.01));
    const noisy = fitGrowth(queriesOf(3, 0.9, [1024, 1100], 4));
    const [, , shrunk = 0] = shrinkSlopes([steady, steady, noisy]);
    expect(Math.abs(shrunk - 0.5)).toBeLessThan(0.1);
  });
});

describe('measureExtrapolation', () => {
  it('has no error where keys really grow by the fitted power', () => {
    const heads = [0.3, 0.7].map((C) => ({
      kind: 'retrieval' as const,
      fitted: queriesOf(4, C, [512, 1024, 2048]),
      measured: queriesOf(4, C, [8192]),
    }));
    expect(measureExtrapolation(heads, 2048, 8192)).toEqual({
      fittedTo: 2048,
      predicted: 8192,
      kinds: [
        {
          kind: 'retrieval',
          heads: 2,
          bias: expect.closeTo(0, 2),
          error: expect.closeTo(0, 2),
          unshrunkError: expect.closeTo(0, 9),
        },
      ],
    });
  });

  it('says by how much predictions are too large, kind by kind', () => {
    const fitted = queriesOf(4, 0.5, [512, 1024, 2048]);
    const { kinds } = measureExtrapolation(
      [
        { kind: 'sink', fitted, measured: queriesOf(2, 0.5, [8192]) },
        { kind: 'diffuse', fitted, measured: queriesOf(8, 0.5, [8192]) },
      ],
      2048,
      8192,
    );
    expect(kinds.map(({ kind }) => kind)).toEqual(['sink', 'diffuse']);
    expect(kinds[0]?.bias).toBeCloseTo(Math.LN2, 9);
    expect(kinds[1]?.bias).toBeCloseTo(-Math.LN2, 9);
    expect(kinds[1]?.error).toBeCloseTo(Math.LN2, 9);
  });
});
