import { describe, expect, it } from 'vitest';
import { captureFixture } from '../../../test/capture-fixture.ts';
import type { CapturedHead } from '../../captures/captured-head.ts';
import { mean } from '../../numerics/statistics.ts';
import { createRandom } from '../numbers.ts';
import { outputOf, scoredRow } from './rows.ts';
import { allocateBits, featureScan, randomRotation, signScan } from './scan.ts';
import { fourBitRows, sieveErrors } from './simulated-sieve.ts';

const captured = captureFixture()[0] as CapturedHead;
const D = captured.headDim;
const keys = Float64Array.from(captured.keys);
const values = Float64Array.from(captured.values);
const row = scoredRow(captured, keys, 0, 100);

const noiseOf = (scanned: Float64Array) => {
  const differences = scanned.map((x, j) => x - (row.scores[j] as number));
  const middle = mean(differences);
  return Math.sqrt(mean(differences.map((x) => (x - middle) ** 2)));
};

describe('scans', () => {
  it('follow the scores, the closer the more bits they have', () => {
    const energies = new Float64Array(D).fill(1);
    const features = (nibbles: number) =>
      noiseOf(featureScan(keys, D, { energies, nibbles, fittedKeys: 640 })(row.query, row.scores.length));
    const spread = noiseOf(new Float64Array(row.scores.length));
    expect(noiseOf(signScan(keys, D, 1)(row.query, row.scores.length))).toBeLessThan(0.8 * spread);
    expect(features(4)).toBeLessThan(0.8 * spread);
    expect(features(16)).toBeLessThan(0.6 * features(4));
  });

  it('give the most bits to the largest variances', () => {
    expect(allocateBits([100, 1e-6, 1e-6, 1e-6, 1e-6, 1e-6], 1)).toEqual([4]);
    expect(allocateBits([1, 1, 1, 1], 1)).toEqual([1, 1, 1, 1]);
    expect(allocateBits([10, 10, 0.1, 0.1, 0.1, 0.1], 2)).toEqual([4, 4]);
  });

  it('rotate without changing lengths', () => {
    const R = randomRotation(8, 3);
    for (let a = 0; a < 8; a++) {
      for (let b = 0; b < 8; b++) {
        let product = 0;
        for (let i = 0; i < 8; i++) product += (R[a * 8 + i] as number) * (R[b * 8 + i] as number);
        expect(product).toBeCloseTo(a === b ? 1 : 0, 12);
      }
    }
  });
});

describe('the simulated sieve', () => {
  const fourBitKeys = fourBitRows(keys, D, 1);
  const fourBitValues = fourBitRows(values, D, 1);
  const scanned = signScan(keys, D, 1)(row.query, row.scores.length);
  const sieveRow = {
    exact: row.scores,
    scanned,
    fourBit: (key: number) => row.query.reduce((sum, x, i) => sum + x * (fourBitKeys[key * D + i] as number), 0),
    output: outputOf(row, values),
  };
  const errorWith = (budget: number) => {
    const errors = Array.from({ length: 20 }, (_, seed) =>
      sieveErrors([sieveRow], values, fourBitValues, budget, createRandom(seed)),
    );
    return mean(errors.flat());
  };

  it('keeps 4-bit rows close', () => {
    let [error, size] = [0, 0];
    for (const [i, x] of keys.entries()) {
      error += (x - (fourBitKeys[i] as number)) ** 2;
      size += x * x;
    }
    expect(Math.sqrt(error / size)).toBeLessThan(0.12);
  });

  it('errs less with a larger budget, and by rounding alone with all keys', () => {
    expect(errorWith(128)).toBeLessThan(errorWith(16));
    expect(errorWith(row.scores.length)).toBeLessThan(0.05);
  });
});
