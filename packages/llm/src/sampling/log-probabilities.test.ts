import { describe, expect, it } from 'vitest';
import { logProbabilities } from './log-probabilities.ts';

const LOGITS = Float32Array.of(1, 3, -2, 3, 0);
const sum = LOGITS.reduce((total, x) => total + Math.exp(x), 0);

describe('logProbabilities', () => {
  it('is the log-softmax of the chosen token and of the likeliest', () => {
    const { token, logProbability, top } = logProbabilities(LOGITS, 4, 3);
    expect(token).toBe(4);
    expect(Math.exp(logProbability)).toBeCloseTo(1 / sum, 12);
    expect(top.map((each) => each.token)).toEqual([1, 3, 0]);
    for (const each of top) {
      expect(Math.exp(each.logProbability)).toBeCloseTo(Math.exp(LOGITS[each.token] as number) / sum, 12);
    }
  });

  it('gives no others where none are asked for, and all where more are than there are', () => {
    expect(logProbabilities(LOGITS, 2, 0).top).toEqual([]);
    const { top } = logProbabilities(LOGITS, 2, 20);
    expect(top).toHaveLength(5);
    expect(top.reduce((total, each) => total + Math.exp(each.logProbability), 0)).toBeCloseTo(1, 12);
  });

  it('gives a token that cannot be -Infinity', () => {
    expect(logProbabilities(Float32Array.of(0, Number.NEGATIVE_INFINITY), 1, 0).logProbability).toBe(
      Number.NEGATIVE_INFINITY,
    );
  });

  it('survives logits far from zero', () => {
    expect(logProbabilities(Float32Array.of(5000, 5000), 0, 1).logProbability).toBeCloseTo(-Math.LN2, 6);
  });
});
