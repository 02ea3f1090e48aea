import { LAW_SHAPES } from 'keysieve';
import { describe, expect, it } from 'vitest';
import { createRandom as createTestRandom } from '../../../core/test/random.ts';
import { createRandom } from '../numerics/random.ts';
import { fitLaw } from './fit.ts';
import { keysFromFit } from './shapes.ts';

/** Lengths of `count` queries, evenly over the logarithm from 512 to 8,192. */
const lengthsOf = (count: number) => Array.from({ length: count }, (_, i) => 512 * 16 ** (i / (count - 1)));

/** Keys alpha n^C with noise of `noise` nats, as whole numbers. */
function planted(alpha: number, C: number, noise: number, seed: number, count = 300) {
  const random = createTestRandom(seed);
  const n = lengthsOf(count);
  const keys = n.map((x) => Math.max(1, Math.round(alpha * x ** C * Math.exp(noise * random.normal()))));
  return { n, keys };
}

describe('fitLaw', () => {
  it.for([
    [0.5, 0.6],
    [2, 0.4],
    [0.08, 0.95],
    [6, 0.25],
  ])('recovers %f n^%f from 300 noisy queries', ([alpha, C]) => {
    for (let seed = 0; seed < 10; seed++) {
      const law = fitLaw(planted(alpha as number, C as number, 0.2, seed), createRandom(seed));
      expect(Math.abs(law.C - (C as number))).toBeLessThanOrEqual(0.045);
    }
    const errors = Array.from(
      { length: 40 },
      (_, seed) => fitLaw(planted(alpha as number, C as number, 0.2, seed), createRandom(seed)).C - (C as number),
    );
    const rms = Math.sqrt(errors.reduce((sum, x) => sum + x * x, 0) / errors.length);
    expect(rms).toBeLessThanOrEqual(0.02);
  });

  it('has the truth in its interval in 90 to 99 % of 200 trials', () => {
    let held = 0;
    for (let seed = 0; seed < 200; seed++) {
      const { interval } = fitLaw(planted(1, 0.6, 0.5, seed), createRandom(seed));
      if (interval[0] <= 0.6 && 0.6 <= interval[1]) held++;
    }
    expect(held / 200).toBeGreaterThanOrEqual(0.9);
    expect(held / 200).toBeLessThanOrEqual(0.99);
  });

  it('tells constant, linear and saturating growth from a power law', () => {
    const n = lengthsOf(300);
    const truths = {
      constant: () => 80,
      power: (x: number) => 0.9 * x ** 0.55,
      linear: (x: number) => 0.2 * x,
      saturating: (x: number) => (600 * x) / (x + 900),
    };
    for (const shape of LAW_SHAPES) {
      let hits = 0;
      for (let seed = 0; seed < 20; seed++) {
        const random = createTestRandom(seed);
        const keys = n.map((x) => truths[shape](x) * Math.exp(0.1 * random.normal()));
        const law = fitLaw({ n, keys }, createRandom(seed));
        if (law.shape === shape) hits++;
        expect(law.deltaAicc[law.shape]).toBe(0);
        expect(keysFromFit(law, 2048)).toBeGreaterThan(0.9 * truths[shape](2048));
        expect(keysFromFit(law, 2048)).toBeLessThan(1.1 * truths[shape](2048));
      }
      // A parameter more wins by chance now and then.
      expect(hits, shape).toBeGreaterThanOrEqual(14);
    }
  });

  it('fits without noise, and keys that are always the same', () => {
    const n = lengthsOf(50);
    const exact = fitLaw({ n, keys: n.map((x) => 3 * x ** 0.5) }, createRandom(1));
    expect(exact.C).toBeCloseTo(0.5, 10);
    expect(exact.alpha).toBeCloseTo(3, 8);
    expect(exact.r2).toBeCloseTo(1, 10);
    const same = fitLaw({ n, keys: n.map(() => 7) }, createRandom(1));
    expect(same).toMatchObject({ shape: 'constant', r2: 1, parameters: [expect.closeTo(7)] });
    expect(same.C).toBeCloseTo(0, 10);
  });

  it('gives at least one key, and at most n', () => {
    const law = fitLaw({ n: [512, 1024, 8192], keys: [500, 1000, 8000] }, createRandom(1));
    expect(keysFromFit(law, 3)).toBeLessThanOrEqual(3);
    expect(keysFromFit({ shape: 'power', parameters: [1e-6, 0.5] }, 100)).toBe(1);
  });
});
