import { findLaw } from 'keysieve';
import { describe, expect, it } from 'vitest';
import {
  groupTruth,
  headTruth,
  PLANTED,
  plantedLaw,
  plantedMaterial,
  shareFactor,
  TRUE_CENTRE,
} from '../../test/planted-law.ts';
import { makeLaw } from './make-law.ts';
import { keysFromFit } from './shapes.ts';

describe('makeLaw', () => {
  const law = plantedLaw();

  it('recovers planted laws of heads, of 300 queries each', () => {
    const errors = law.heads.map(({ C }, row) => C - headTruth(row).C);
    expect(Math.sqrt(errors.reduce((sum, x) => sum + x * x, 0) / errors.length)).toBeLessThanOrEqual(0.02);
  });

  it('recovers the keys for every need and share, and does not mix them up', () => {
    for (const [row, head] of plantedLaw({ noise: 0.01, samples: 12 }).heads.entries()) {
      const { alpha, C } = headTruth(row);
      for (const share of PLANTED.shares) {
        const keys = alpha * 4000 ** C;
        const at = (criterion: 'mass' | 'errorWithoutTail' | 'errorWithTail') =>
          keysFromFit(findLaw(head.laws, criterion, share).fit, 4000);
        expect(at('mass') / Math.max(1, keys * shareFactor(share))).toBeCloseTo(1, 1);
        // What the ladder does not reach is a bound.
        const [errorWithoutTail, errorWithTail] = [keys * shareFactor(share), keys * shareFactor(2 * share)];
        if (errorWithoutTail > 8 && errorWithoutTail < 100)
          expect(at('errorWithoutTail') / errorWithoutTail).toBeCloseTo(1, 1);
        if (errorWithTail > 8 && errorWithTail < 100) expect(at('errorWithTail') / errorWithTail).toBeCloseTo(1, 1);
      }
    }
  });

  it('recovers the surfaces of groups, and what bytes are read', () => {
    const { groups, centre, summary } = law;
    for (const [group, { surface }] of groups.entries()) {
      const truth = groupTruth(group);
      expect(surface.keys).toBeCloseTo(truth.keys, 1);
      expect(surface.length).toBeCloseTo(truth.length, 1);
      const level =
        truth.level +
        truth.keys * (centre.keys - TRUE_CENTRE.keys) +
        truth.length * (centre.length - TRUE_CENTRE.length);
      expect(Math.abs(surface.level - level)).toBeLessThan(0.15);
    }
    for (const { n, budget, bytes, denseBytes } of summary.predictions) {
      expect(bytes / (groups.length * (10 * n + 300 * budget))).toBeCloseTo(1, 5);
      expect(denseBytes).toBe(groups.length * n * 256);
    }
  });

  it('carries laws to lengths that they were not fitted to, and says how well: shrunk slopes better, where queries are few', () => {
    const { extrapolation } = plantedLaw({ samples: 6, noise: 0.8 });
    expect(extrapolation.map(({ fittedTo, predicted }) => [fittedTo, predicted])).toEqual([
      [4096, 8192],
      [2048, 8192],
    ]);
    for (const { kinds } of extrapolation) {
      expect(kinds.reduce((sum, { heads }) => sum + heads, 0)).toBe(PLANTED.layers * PLANTED.heads);
      const mean = (of: 'error' | 'unshrunkError') => kinds.reduce((sum, kind) => sum + kind.heads * kind[of] ** 2, 0);
      expect(mean('error')).toBeLessThan(mean('unshrunkError'));
    }
    const exact = plantedLaw({ noise: 0, samples: 6 }).extrapolation;
    for (const { error } of exact.flatMap(({ kinds }) => kinds)) expect(error).toBeLessThan(0.05);
  });

  it('predicts no fewer keys than it has measured at shorter lengths, where keys grow', () => {
    for (const noise of [0, 1.5]) {
      const { summary, headline } = plantedLaw({ noise, samples: 40 });
      const measured = findLaw(summary.laws as never, headline.criterion, headline.share) as unknown as {
        keys: number[];
      };
      const means = [...measured.keys, ...summary.predictions.map(({ keys }) => keys)];
      expect(means).toEqual([...means].sort((a, b) => a - b));
    }
  });

  it('is fitted to the lengths that were asked for only', () => {
    const shorter = plantedLaw({ fittedTo: 2048, samples: 12 });
    expect(shorter.lengths).toEqual([512, 1024, 2048]);
    expect(shorter.extrapolation.map(({ fittedTo }) => fittedTo)).toEqual([1024]);
    expect(shorter.summary.predictions.every(({ extrapolated }) => extrapolated)).toBe(true);
  });

  it('takes several texts together, and says how their exponents agree', () => {
    const { summary } = plantedLaw({ texts: 2, samples: 20 });
    expect(summary.textCorrelation).toBeGreaterThan(0.9);
    expect(summary.textCorrelation).toBeLessThanOrEqual(1);
    expect(law.summary.textCorrelation).toBeNull();
  });

  it('refuses to make a law of one length, and budgets of errors that do not fall', () => {
    const code = expect.objectContaining({ code: 'invalid-argument' });
    expect(() => plantedLaw({ fittedTo: 600 })).toThrow(code);
    const material = plantedMaterial({ samples: 12 });
    const { trialSquares } = (material.tallies[0] as (typeof material.tallies)[number]).arrays();
    trialSquares?.fill(0.01);
    expect(() => makeLaw(material)).toThrow(code);
  });
});
