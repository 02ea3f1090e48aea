/** What drawn keys tell of those that were not drawn. */
import { describe, expect, it } from 'vitest';
import { createRig, type KernelRig, type KernelsUnderTest } from '../../../test/kernel-rig.ts';
import { createRandom } from '../../../test/random.ts';
import { placeScan, toScanUnits } from '../../../test/scans.ts';
import { UNDRAWN_RARITY } from '../constants.ts';
import type { ScannedKeys } from '../quantized-kernels.ts';
import { fitScan } from '../reference/undrawn.ts';

export function describeUndrawn(kernels: KernelsUnderTest): void {
  describe('fitScan and undrawnSquares', () => {
    /** Drawn keys whose scores are `slope` times their scans, and noise. */
    const drawnKeys = (
      rig: KernelRig,
      count: number,
      slope: number,
      noise: number,
      isCertain: (j: number) => boolean,
    ) => {
      const random = createRandom(count);
      const positions = Int32Array.from({ length: count }, (_, j) => 3 * j);
      const nats = random.normals(3 * count, 2);
      const [scans, bits] = [toScanUnits(nats, 8), 8];
      const scores = Float32Array.from(positions, (position) => {
        const scan = ((scans[position] as number) * Math.LN2) / 2 ** bits;
        return slope * scan - 1 + noise * (random.normals(1)[0] as number);
      });
      const place = (numbers: Float32Array | Int32Array) => {
        const address = rig.allocate(numbers.length * 4 + 16);
        if (numbers instanceof Int32Array) rig.views().i32.set(numbers, address / 4);
        else rig.views().f32.set(numbers, address / 4);
        return address;
      };
      const logs = Float32Array.from({ length: count }, (_, j) => (isCertain(j) ? 0 : -0.5 - (j % 3)));
      const keys = {
        scans: placeScan(rig, scans),
        fractionBits: bits,
        indices: place(positions),
        logProbabilities: place(logs),
        count,
      };
      return { keys, scores: place(scores), fit: rig.allocate(12) };
    };

    const squaresOf = (rig: KernelRig, keys: ScannedKeys, copies: number, fit: number, logTotal: number): number => {
      const [total, scratch] = [rig.allocate(16), rig.allocate(8 * keys.count + 32)];
      rig.views().f32[total / 4] = logTotal;
      rig.kernels.undrawnSquares(keys, copies, fit, 1, total, total, scratch);
      return rig.floats(total, 1)[0] as number;
    };

    it('find the line that scores follow, and the noise about it', () => {
      for (const count of [20, 128, 700]) {
        const rig = createRig(kernels);
        const { keys, scores, fit } = drawnKeys(rig, count, 0.75, 0, (j) => j % 5 === 0);
        rig.kernels.fitScan(keys, scores, fit);
        const [intercept, slope, deviation] = rig.floats(fit, 3) as unknown as [number, number, number];
        expect(intercept).toBeCloseTo(-1, 4);
        expect(slope).toBeCloseTo(0.75, 4);
        expect(deviation).toBeLessThan(2e-3);
      }
    });

    it('find the lines of many rows, and how far their noise reaches', () => {
      for (const count of [7, 8, 13, 64]) {
        const rig = createRig(kernels);
        const { keys } = drawnKeys(rig, count, 1, 0, () => false);
        const { i16, f32 } = rig.views();
        const random = createRandom(count + 1);
        const [rows, stride] = [5, count + 8];
        const scores = rig.allocate(rows * stride * 4);
        const fits = rig.allocate(rows * 12);
        const expected = Array.from({ length: rows }, (_, row) => {
          const scans = Array.from(
            { length: count },
            (_, j) => ((i16[keys.scans / 2 + 3 * j] as number) * Math.LN2) / 256,
          );
          // The scores of the last row are far from 0.
          const noise = random.normals(count, (row + 1) / 4);
          const middle = row === 4 ? 300 : row;
          const values = Float32Array.from(scans, (scan, j) => middle + 0.6 * scan + (noise[j] as number));
          f32.set(values, scores / 4 + row * stride);
          f32.fill(1e6, scores / 4 + row * stride + count, scores / 4 + (row + 1) * stride);
          return { scans, ...fitScan({ scans, scores: values, logProbabilities: scans.map(() => -1) }), values };
        });
        const peaks = rig.kernels.fitScanRows(keys, scores, stride, rows, fits, rig.allocate(4 * count + 16));
        let sum = 0;
        for (const [row, { intercept, slope, deviation, scans, values }] of expected.entries()) {
          const found = rig.floats(fits + row * 12, 3) as unknown as [number, number, number];
          if (count < 8) {
            expect(found[2]).toBe(-1);
            continue;
          }
          expect(found[0]).toBeCloseTo(intercept, 2);
          expect(found[1]).toBeCloseTo(slope, 3);
          expect(found[2]).toBeCloseTo(deviation, 3);
          const noises = Array.from(values, (value, j) => value - intercept - slope * (scans[j] as number));
          noises.sort((a, b) => b - a);
          sum += ((noises[0] as number) + (noises[1] as number)) / deviation;
        }
        if (count < 8) expect(peaks).toBe(-1);
        else expect(peaks).toBeCloseTo(sum / rows, 2);
        // Equal scores have no noise.
        f32.fill(3, scores / 4, scores / 4 + rows * stride);
        expect(rig.kernels.fitScanRows(keys, scores, stride, rows, fits, rig.allocate(4 * count + 16))).toBe(-1);
      }
    });

    /** The expected sum, over keys of these weights, of a function of their log-shares, which are normal: by steps of the noise. */
    const expectedSum = (
      means: readonly number[],
      weights: readonly number[],
      deviation: number,
      of: (logShare: number) => number,
    ) => {
      const step = 0.005;
      let sum = 0;
      for (let z = -8; z < 8; z += step) {
        const density = (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * step;
        for (const [j, mean] of means.entries()) sum += density * (weights[j] as number) * of(mean + deviation * z);
      }
      return sum;
    };

    it('leave out shares that hardly any key is expected to have', () => {
      const rig = createRig(kernels);
      for (const [noise, logTotal] of [
        [0.3, 3],
        [2, 8],
        [2, 14],
        [6, 40],
      ] as const) {
        const { keys, scores, fit } = drawnKeys(rig, 40, 1, noise, () => false);
        rig.kernels.fitScan(keys, scores, fit);
        const [intercept, slope, deviation] = rig.floats(fit, 3) as unknown as [number, number, number];
        const { i16, f32 } = rig.views();
        const range = Array.from({ length: 40 }, (_, j) => j);
        const means = range.map(
          (j) => intercept + (slope * (i16[keys.scans / 2 + 3 * j] as number) * Math.LN2) / 256 - logTotal,
        );
        const weights = range.map((j) => 5 * Math.expm1(-(f32[keys.logProbabilities / 4 + j] as number)));
        const sum = (of: (logShare: number) => number) => expectedSum(means, weights, deviation, of);
        // The share that 1 / UNDRAWN_RARITY of a key is expected to exceed, by bisection.
        let [low, high] = [-40, 0];
        for (let i = 0; i < 20; i++) {
          const middle = (low + high) / 2;
          if (sum((log) => (log > middle ? 1 : 0)) * UNDRAWN_RARITY >= 1) low = middle;
          else high = middle;
        }
        const expected = sum((log) => Math.exp(2 * Math.min(low, log)));
        const found = squaresOf(rig, keys, 5, fit, logTotal);
        expect(found / expected, `${noise} ${logTotal}`).toBeGreaterThan(0.9);
        expect(found / expected, `${noise} ${logTotal}`).toBeLessThan(1.15);
      }
    });

    it('expect of the keys that were not drawn what the drawn ones stand for, and nothing where these are too few', () => {
      const rig = createRig(kernels);
      const { keys, scores, fit } = drawnKeys(rig, 90, 1, 0.5, () => false);
      rig.kernels.fitScan(keys, scores, fit);
      const [intercept, slope, deviation] = rig.floats(fit, 3) as unknown as [number, number, number];
      expect(deviation).toBeGreaterThan(0.3);
      const logTotal = 12;
      const { i16, f32 } = rig.views();
      // The second moment of a log-normal share; all of them are far below 1.
      let expected = 0;
      for (let j = 0; j < 90; j++) {
        const scan = ((i16[keys.scans / 2 + 3 * j] as number) * Math.LN2) / 256;
        const others = Math.expm1(-(f32[keys.logProbabilities / 4 + j] as number));
        expected += others * Math.exp(2 * (intercept + slope * scan - logTotal) + 2 * deviation ** 2);
      }
      expect(squaresOf(rig, keys, 1, fit, logTotal) / expected).toBeCloseTo(1, 1);
      // No share is above 1.
      expect(squaresOf(rig, keys, 1, fit, -100)).toBeCloseTo(
        Array.from({ length: 90 }, (_, j) => Math.expm1(0.5 + (j % 3))).reduce((a, b) => a + b, 0),
        1,
      );

      // Rows that share a scan have what each has alone.
      const [logTotals, fits] = [[9, 12, 15], rig.allocate(36)];
      const [totals, squares] = [rig.allocate(16), rig.allocate(16)];
      for (let row = 0; row < 3; row++)
        rig.views().f32.set([intercept, slope, deviation * (row + 1)], fits / 4 + 3 * row);
      rig.views().f32.set(logTotals, totals / 4);
      rig.kernels.undrawnSquares(keys, 2, fits, 3, totals, squares, rig.allocate(8 * keys.count + 32));
      expect([...rig.floats(squares, 3)]).toEqual(
        logTotals.map((logTotal, row) => squaresOf(rig, keys, 2, fits + 12 * row, logTotal)),
      );

      const few = drawnKeys(rig, 40, 1, 0.5, (j) => j >= 7);
      rig.kernels.fitScan(few.keys, few.scores, few.fit);
      expect(squaresOf(rig, few.keys, 1, few.fit, 0)).toBe(0);
    });
  });
}
