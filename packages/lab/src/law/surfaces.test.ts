import { describe, expect, it } from 'vitest';
import { createRandom } from '../numerics/random.ts';
import { fitSurfaces, type TrialQuery } from './surfaces.ts';

const LENGTHS = [1024, 2048, 4096];
const BUDGETS = [64, 128, 256];
const CENTRE = { keys: Math.log(128), length: Math.log(2048) };

interface Slopes {
  level: number;
  keys: number;
  length: number;
}

/** Queries of a group whose errors follow the slopes, times noise. */
function queriesOn({ level, keys, length }: Slopes, noise = 0, count = 4): TrialQuery[] {
  const random = createRandom(5);
  return LENGTHS.flatMap((n, index) =>
    Array.from({ length: count }, (): TrialQuery => {
      const factor = Math.exp(noise * (random.uniform() - 0.5));
      const squares = BUDGETS.map(
        (k) => factor * Math.exp(level + keys * (Math.log(k) - CENTRE.keys) + length * (Math.log(n) - CENTRE.length)),
      );
      return { length: index, n, squares };
    }),
  );
}

const fit = (groups: readonly TrialQuery[][]) =>
  fitSurfaces(groups, LENGTHS.length, BUDGETS, CENTRE, createRandom(1).below);

describe('fitSurfaces', () => {
  it('finds planted levels and slopes', () => {
    const truths: Slopes[] = [
      { level: -6, keys: -1.2, length: 0.5 },
      { level: -4, keys: -0.8, length: 0.9 },
      { level: -5, keys: -1, length: 0.2 },
    ];
    for (const [i, surface] of fit(truths.map((truth) => queriesOn(truth))).entries()) {
      expect(surface.level).toBeCloseTo(truths[i]?.level as number, 1);
      expect(surface.keys).toBeCloseTo(truths[i]?.keys as number, 2);
      expect(surface.length).toBeCloseTo(truths[i]?.length as number, 2);
    }
  });

  it('says how uncertain the slopes are: more with noise', () => {
    const truth = { level: -6, keys: -1.2, length: 0.5 };
    const [quiet, noisy] = [0.1, 2].map((noise) => fit([queriesOn(truth, noise)])[0]?.standardErrors[1] as number);
    expect(noisy).toBeGreaterThan(5 * (quiet as number));
  });

  it('gives a group that was hardly measured the slopes of the others', () => {
    const steep = queriesOn({ level: -6, keys: -1.2, length: 0.5 });
    const hardly: TrialQuery[] = [{ length: 0, n: 1024, squares: [0.01, Number.NaN, Number.NaN] }];
    const surface = fit([steep, steep, hardly])[2];
    expect(surface?.keys).toBeCloseTo(-1.2, 1);
    expect(surface?.length).toBeCloseTo(0.5, 1);
    expect(surface?.standardErrors).toEqual([10, 10]);
  });

  it('lets no error rise with the keys', () => {
    const falling = queriesOn({ level: -6, keys: -1, length: 0.5 });
    const rising = queriesOn({ level: -6, keys: 0.6, length: 0.5 });
    const [, , surface] = fit([falling, falling, rising]);
    expect(surface?.keys).toBeLessThan(0);
  });
});
