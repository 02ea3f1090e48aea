/** What every method must do: its claim holds on planted data, fails where it must, and bad input is told apart. */
import { describe, expect, it } from 'vitest';
import { keepsBound, type Method } from './method.ts';

export interface MethodCase {
  /** Seeds that no figure was chosen with. */
  seeds: readonly number[];
  /** Calls that must throw `invalid-argument`, by what is wrong with them. */
  badArguments: Readonly<Record<string, () => unknown>>;
}

/** Describes one method, by the planted test of its central claim. */
export function describeMethod(method: Method, { seeds, badArguments }: MethodCase): void {
  describe(method.name, () => {
    it.each(seeds)('keeps its claim on planted data, seed %i', (seed) => {
      const { figures, holds } = method.planted(seed);
      expect(figures.filter((figure) => !keepsBound(figure))).toEqual([]);
      expect(holds).toBe(true);
      expect(figures.some(({ bound }) => bound !== undefined)).toBe(true);
      for (const { name, value, bound } of figures) {
        expect(Number.isFinite(value) && Number.isFinite(bound?.value ?? 0), name).toBe(true);
      }
    });

    it.each(seeds)(`fails with ${method.failing.what}, seed %i`, (seed) => {
      const { holds, figures } = method.failing.planted(seed);
      expect(holds).toBe(false);
      for (const { name, value } of figures) expect(Number.isFinite(value), name).toBe(true);
    });

    it('repeats itself', () => {
      const [seed = 1] = seeds;
      expect(method.failing.planted(seed)).toEqual(method.failing.planted(seed));
    });

    it.each([-1, 0.5, Number.NaN, 2 ** 32])('takes no seed of %d', (seed) => {
      expect(() => method.planted(seed)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
      expect(() => method.failing.planted(seed)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
    });

    it.each(Object.entries(badArguments))('refuses %s', (_, call) => {
      expect(call).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
    });
  });
}
