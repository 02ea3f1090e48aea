import { describe, expect, it } from 'vitest';
import { relativeError } from '../group/estimates.ts';
import { BLOCK_ERROR_SPREAD, ERROR_SPREAD, MAX_NOISE_RATIO } from './constants.ts';
import { estimateBlockError, estimateError, type SampledRow, type SampleFindings } from './error-estimate.ts';

const NOTHING = Number.NEGATIVE_INFINITY;
/** Of a step whose sum is 1. */
const FINDINGS: SampleFindings = {
  logCertainSquares: NOTHING,
  logHalfSquares: NOTHING,
  logExactVariance: NOTHING,
  logExactSquares: 0,
  logUndrawnSquares: NOTHING,
  halfSampleDistance: 0,
};
const ROW: SampledRow = { selected: 0, total: 0, outputNorm: 1, scoreError: 0.1 };

describe('the estimate of a step', () => {
  it('is 0 where everything was attended exactly, and with certainty', () => {
    expect(estimateError(FINDINGS, ROW, 3)).toEqual({ error: 0, exactNorm: 1 });
  });

  it('grows with each of what it is made of', () => {
    const more: (Partial<SampleFindings> & Partial<SampledRow>)[] = [
      { halfSampleDistance: 0.1 },
      { logExactVariance: Math.log(1e-3) },
      { logUndrawnSquares: Math.log(1e-3) },
      { logCertainSquares: Math.log(1e-3), selected: Math.log(0.9) },
      { logHalfSquares: Math.log(1e-3), selected: Math.log(0.9) },
    ];
    for (const change of more) {
      const [findings, row] = [
        { ...FINDINGS, ...change },
        { ...ROW, ...change },
      ];
      expect(relativeError(estimateError(findings, row, 1)), JSON.stringify(change)).toBeGreaterThan(1e-3);
    }
  });

  it('grows with the errors of 4-bit scores, but no share beyond 1', () => {
    const findings = { ...FINDINGS, logHalfSquares: Math.log(1e-4) };
    const at = (scoreError: number) =>
      estimateError(findings, { ...ROW, selected: Math.log(0.5), scoreError }, 1).error;
    expect(at(0)).toBe(0);
    // Small errors e move a share by e of itself, from values of norm 1 to an output of norm 1 that is orthogonal to them.
    expect(at(0.05) / (0.05 * 0.01)).toBeCloseTo(Math.sqrt(2 * ERROR_SPREAD), 1);
    expect(at(1)).toBeGreaterThan(at(0.5));
    expect(at(30)).toBeLessThanOrEqual(Math.sqrt(2 * ERROR_SPREAD) + 1e-9);
  });

  it('exceeds 1 where the output is noise, but not what the two norms allow', () => {
    // The exact output is a mean of 10,000 values of norm 1, and the output has 100 times its norm.
    const findings = { ...FINDINGS, logExactSquares: Math.log(1e-4), halfSampleDistance: 1 };
    const relative = relativeError(estimateError(findings, { ...ROW, outputNorm: 1 }, 1));
    expect(relative).toBeGreaterThan(2);
    expect(relative).toBeLessThanOrEqual(1 + MAX_NOISE_RATIO);
  });

  it('leaves out rare errors of scores, whose squares are beyond all others', () => {
    // One key of a share of 1e-6 whose score is off by 3 nats: e^(2 * 9) on average, but e^(2 * 1.7 * 3) in 95 % of the cases.
    const findings = { ...FINDINGS, logHalfSquares: Math.log(1e-12) };
    const row = { ...ROW, selected: Math.log1p(-1e-6), scoreError: 3 };
    expect(estimateError(findings, row, 1).error).toBeLessThan(1e-6 * Math.exp(1.7 * 3) * Math.sqrt(2 * ERROR_SPREAD));
  });
});

describe('the estimate of a block', () => {
  const estimate = (halfSamples: number[], undrawnSquares: number, gatheredShare = 0) =>
    relativeError(
      estimateBlockError({ halfSamples: Float32Array.from(halfSamples), undrawnSquares, gatheredShare }, 1e6, 1),
    );

  it('is that of the half-samples where no key outweighs the others', () => {
    expect(estimate([0.5, 0.01, 1, 0.001, 0], 0)).toBeCloseTo(Math.sqrt(BLOCK_ERROR_SPREAD * 0.01), 2);
  });

  it('is large where one drawn key is all that there is, and where others like it were not drawn', () => {
    expect(estimate([1, 0, 1, 1, 0], 0)).toBeGreaterThan(0.9);
    expect(estimate([0, 0, 1, 0, 0], 0.5)).toBeGreaterThan(0.3);
  });

  it('counts the rounding of what was gathered, and none where nothing was', () => {
    expect(estimate([0, 0, 1, 0, 0], 0)).toBe(0);
    expect(estimate([0, 0, 1, 0, 0], 0, 0.5)).toBeGreaterThan(1e-4);
    expect(estimate([0, 0, 1, 0, 0], 0, 1)).toBeLessThan(1e-3);
  });
});
