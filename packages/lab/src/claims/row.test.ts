import { describe, expect, it } from 'vitest';
import { attendRow } from '../numerics/attention.ts';
import { createRandom } from '../numerics/random.ts';
import { ladder, logKeys, powerKeys } from './budgets.ts';
import { descending, meanMeasurement, measureRow, THRESHOLD } from './row.ts';

const D = 8;

/** A row of n keys with random scores and values, all parts of it as plain arrays. */
function randomRow(n: number, seed: number) {
  const random = createRandom(seed);
  const scores = Float64Array.from({ length: n }, () => 6 * random.uniform() - 3);
  const values = Float32Array.from({ length: n * D }, () => random.uniform() - 0.5);
  return { scores, values, order: descending(scores) };
}

describe('a row of attention', () => {
  it('is measured as its definitions say', () => {
    const n = 200;
    const { scores, values, order } = randomRow(n, 1);
    const ks = [1, 5, 50, n];
    const measured = measureRow({ scores, scale: 1.5, order, values, d: D }, ks);
    const exps = [...scores].map((score) => Math.exp(1.5 * score));
    const total = exps.reduce((sum, x) => sum + x, 0);
    const p = exps.map((x) => x / total);
    const outputOf = (weights: number[]) =>
      Array.from({ length: D }, (_, i) =>
        weights.reduce((sum, w, key) => sum + w * (values[key * D + i] as number), 0),
      );
    const norm = (x: number[]) => Math.hypot(...x);
    for (const [at, k] of ks.entries()) {
      const kept = new Set([...order.subarray(0, k)]);
      const mass = p.reduce((sum, x, key) => sum + (kept.has(key) ? x : 0), 0);
      const q = p.map((x, key) => (kept.has(key) ? x / mass : 0));
      const difference = outputOf(q.map((x, key) => x - (p[key] as number)));
      expect(measured.curves.tailMass[at]).toBeCloseTo(1 - mass, 12);
      expect(measured.curves.matrix[at]).toBeCloseTo(
        Math.max(...q.map((x, key) => Math.abs(x - (p[key] as number)))),
        12,
      );
      expect(measured.curves.output[at]).toBeCloseTo(norm(difference) / norm(outputOf(p)), 12);
      expect(measured.curves.outputAbsolute[at]).toBeCloseTo(norm(difference) / Math.sqrt(D), 12);
    }
    const sorted = [...p].sort((a, b) => b - a);
    for (const [i, share] of [0.1, 0.05, 0.01].entries()) {
      const k = measured.needed[i] as number;
      const massOf = (count: number) => sorted.slice(0, count).reduce((sum, x) => sum + x, 0);
      expect(massOf(k)).toBeGreaterThanOrEqual(1 - share - 1e-12);
      expect(massOf(k - 1)).toBeLessThan(1 - share);
    }
    expect(measured.entropy).toBeCloseTo(-p.reduce((sum, x) => sum + x * Math.log(x), 0), 12);
    const above = p.filter((x) => x > THRESHOLD);
    expect(measured.above).toBe(above.length);
    expect(measured.aboveMass).toBeCloseTo(
      above.reduce((sum, x) => sum + x, 0),
      12,
    );
    const centre = scores.reduce((sum, x) => sum + x, 0) / n;
    expect(measured.spread).toBeCloseTo(1.5 * Math.sqrt(scores.reduce((sum, x) => sum + (x - centre) ** 2, 0) / n), 10);
  });

  it('has the output of dense attention, and no error, with all keys', () => {
    const random = createRandom(4);
    const query = Float32Array.from({ length: D }, () => random.uniform());
    const keys = Float32Array.from({ length: 90 * D }, () => random.uniform());
    const { output } = attendRow(query, keys, keys, 90);
    const scores = Float64Array.from({ length: 90 }, (_, key) => {
      const products = query.map((x, i) => x * (keys[key * D + i] as number));
      return products.reduce((sum, x) => sum + x, 0) / Math.sqrt(D);
    });
    const measured = measureRow({ scores, scale: 1, order: descending(scores), values: keys, d: D }, [90]);
    expect(measured.curves.output[0]).toBe(0);
    expect(measured.curves.tailMass[0]).toBeCloseTo(0, 12);
    expect(Math.hypot(...output)).toBeGreaterThan(0);
  });

  it('takes one key, and equal scores', () => {
    const one = measureRow(
      { scores: Float64Array.of(3), scale: 1, order: Uint32Array.of(0), values: new Float32Array(D).fill(1), d: D },
      [1],
    );
    expect(one).toMatchObject({ n: 1, entropy: 0, spread: 0, above: 1, needed: [1, 1, 1] });
    const scores = new Float64Array(100);
    const flat = measureRow({ ...randomRow(100, 2), scores, scale: 1, d: D }, [10, 100]);
    expect(flat.curves.tailMass[0]).toBeCloseTo(0.9, 12);
    expect(flat.entropy).toBeCloseTo(Math.log(100), 12);
    expect(flat.needed).toEqual([90, 95, 99]);
  });

  it('has a mean', () => {
    const rows = [1, 2].map((seed) => measureRow({ ...randomRow(50, seed), scale: 1, d: D }, [5, 50]));
    const mean = meanMeasurement(rows);
    expect(mean.entropy).toBeCloseTo(((rows[0]?.entropy ?? 0) + (rows[1]?.entropy ?? 0)) / 2, 12);
    expect(mean.curves.output[0]).toBeCloseTo(
      ((rows[0]?.curves.output[0] ?? 0) + (rows[1]?.curves.output[0] ?? 0)) / 2,
      12,
    );
    expect(() => meanMeasurement([])).toThrow(RangeError);
  });
});

describe('the ladder of budgets', () => {
  it('ascends from 1 to n and has the budgets of the claims', () => {
    for (const n of [1, 2, 100, 8065]) {
      const ks = ladder(n);
      expect(ks).toEqual([...new Set(ks)].sort((a, b) => a - b));
      expect([ks[0], ks.at(-1)]).toEqual([1, n]);
      expect(ks).toContain(logKeys(n));
      for (const C of [0.3, 0.5, 0.7, 0.9]) expect(ks).toContain(powerKeys(n, C));
    }
  });
});
