import { describe, expect, it } from 'vitest';
import { attendRow, minKeysForMass, relativeError, scoreKeys } from './attention.ts';

describe('attendRow', () => {
  it('weighs the values by the softmax of the scores', () => {
    // Scores ln 3 and 0: weights 3/4 and 1/4.
    const query = [2 * Math.log(3), 0, 0, 0];
    const keys = Float32Array.of(1, 0, 0, 0, 0, 1, 0, 0);
    const values = Float32Array.of(4, 0, 0, 1, 0, 8, 0, 1);
    const { output, logSumExp, scores } = attendRow(query, keys, values, 2);
    expect([...scores]).toEqual([expect.closeTo(Math.log(3), 12), 0]);
    expect([...output]).toEqual([3, 2, 0, 1].map((x) => expect.closeTo(x, 12)));
    expect(logSumExp).toBeCloseTo(Math.log(4), 12);
  });

  it('sees the first n keys only', () => {
    const keys = Float32Array.of(1, 2, 3, 4);
    const values = Float32Array.of(5, 6, 7, 8);
    expect([...attendRow([1, 1], keys, values, 1).output]).toEqual([5, 6]);
  });

  it('stands scores that would overflow', () => {
    const { output, logSumExp } = attendRow([1000], Float32Array.of(2, 1), Float32Array.of(1, -1), 2);
    expect([...output]).toEqual([1]);
    expect(logSumExp).toBe(2000);
  });
});

describe('scoreKeys', () => {
  it('divides by the root of the dimension', () => {
    expect([...scoreKeys([1, 2, 3, 4], Float32Array.of(1, 1, 1, 1, 0, 0, 0, 2), 2)]).toEqual([5, 4]);
  });
});

describe('minKeysForMass', () => {
  const row = {
    output: new Float64Array(1),
    scores: Float64Array.of(Math.log(0.1), Math.log(0.6), Math.log(0.3)),
    logSumExp: 0,
  };

  it.for([
    [0.05, 3],
    [0.11, 2],
    [0.41, 1],
    [1.01, 0],
  ] as const)('that may leave %d of the softmax is %d', ([share, keys]) => {
    expect(minKeysForMass(row, share)).toBe(keys);
  });
});

describe('relativeError', () => {
  it.for([
    [[3, 4], [3, 4], 0],
    [[3, 0], [3, 4], 0.8],
    [[0, 0], [0, 0], 0],
    [[0, 1], [0, 0], Number.POSITIVE_INFINITY],
  ] as const)('of %j against %j is %d', ([actual, truth, error]) => {
    expect(relativeError(actual, truth)).toBeCloseTo(error, 12);
  });
});
