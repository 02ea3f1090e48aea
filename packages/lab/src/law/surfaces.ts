/**
 * The errors of GQA groups as planes over the logarithms of keys and length, ln error^2 = level + keys (ln k - ln k0) +
 * length (ln n - ln n0), with slopes that are shrunk towards the mean of all groups, by their uncertainty.
 */

import type { ErrorSurface } from 'keysieve';
import { KEPT_RECENT_KEYS, SINK_KEYS } from 'keysieve/engine';
import { mean, standardDeviation } from '../numerics/statistics.ts';
import { shrink } from './shrink.ts';

/** The squared errors of a group at one query, by budget: NaN where not measured. */
export interface TrialQuery {
  /** Index of its length. */
  length: number;
  /** Keys in its context. */
  n: number;
  squares: ArrayLike<number>;
}

/** ln k0 and ln n0, on which the planes are centered. */
export interface Centre {
  keys: number;
  length: number;
}

interface Cell {
  x: number;
  z: number;
  y: number;
}

/** Budgets above this share of n are left out: there the slope over keys is no longer constant. */
const MAX_KEY_SHARE = 1 / 4;
/** Budgets up to the keys that are always included are left out: they select nothing. */
const ALWAYS_INCLUDED_KEYS = SINK_KEYS + KEPT_RECENT_KEYS;
/** The fewest cells that a plane is fitted to. */
const MIN_CELLS = 6;
const RESAMPLES = 60;
/** The standard error where none can be estimated: larger than any difference between groups. */
const FALLBACK_STANDARD_ERROR = 10;
/** Slopes over keys fall at least by this share of the common slope, since water-filling needs them below 0. */
const MIN_SLOPE_RATIO = 1 / 4;

/** The surfaces of groups, given the measured queries of each. */
export function fitSurfaces(
  groups: readonly (readonly TrialQuery[])[],
  lengths: number,
  budgets: readonly number[],
  centre: Centre,
  randomIndex: (n: number) => number,
): ErrorSurface[] {
  const planes = groups.map((queries) => fitPlane(queries, lengths, budgets, centre, randomIndex));
  const slopesOf = (slope: 'keys' | 'length') => shrink(planes.map((plane) => plane[slope]));
  const [keys, length] = [slopesOf('keys'), slopesOf('length')];
  return planes.map(({ cells, ...estimates }, i) => {
    const slopes = {
      keys: Math.min(MIN_SLOPE_RATIO * keys.pooled, keys.values[i] as number),
      length: length.values[i] as number,
    };
    return {
      level: mean(cells.map(({ x, z, y }) => y - slopes.keys * x - slopes.length * z)),
      ...slopes,
      standardErrors: [estimates.keys.error, estimates.length.error],
    };
  });
}

function fitPlane(
  queries: readonly TrialQuery[],
  lengths: number,
  budgets: readonly number[],
  centre: Centre,
  randomIndex: (n: number) => number,
) {
  const byLength = Array.from({ length: lengths }, (_, at) => queries.filter(({ length }) => length === at));
  const cellsOf = (drawn: readonly (readonly TrialQuery[])[]): Cell[] =>
    drawn.flatMap((lengthQueries) => {
      const n = mean(lengthQueries.map((query) => query.n));
      return budgets.flatMap((k, budget) => {
        const squares = mean(lengthQueries.map((query) => query.squares[budget] as number));
        if (k <= ALWAYS_INCLUDED_KEYS || k > MAX_KEY_SHARE * n || !(squares > 0)) return [];
        return [{ x: Math.log(k) - centre.keys, z: Math.log(n) - centre.length, y: Math.log(squares) }];
      });
    });
  const cells = cellsOf(byLength);
  const fitted = cells.length >= MIN_CELLS ? leastSquaresPlane(cells) : undefined;
  if (fitted === undefined) {
    const unknown = { value: 0, error: FALLBACK_STANDARD_ERROR };
    return { cells, keys: unknown, length: unknown };
  }
  // Whole queries are resampled, since the errors of one query at several budgets are correlated.
  const resampled = Array.from({ length: RESAMPLES }, () =>
    leastSquaresPlane(
      cellsOf(
        byLength.map((lengthQueries) =>
          lengthQueries.map(() => lengthQueries[randomIndex(lengthQueries.length)] as TrialQuery),
        ),
      ),
    ),
  ).filter((plane) => plane !== undefined);
  const errorOf = (slope: 'keys' | 'length') => {
    const values = resampled.map((plane) => plane[slope]);
    return values.length > 1 ? standardDeviation(values) : FALLBACK_STANDARD_ERROR;
  };
  return {
    cells,
    keys: { value: fitted.keys, error: errorOf('keys') },
    length: { value: fitted.length, error: errorOf('length') },
  };
}

/** The slopes of the least-squares plane; undefined where the cells lie on a line. */
function leastSquaresPlane(cells: readonly Cell[]): { keys: number; length: number } | undefined {
  const [mx, mz, my] = (['x', 'z', 'y'] as const).map((axis) => mean(cells.map((cell) => cell[axis]))) as [
    number,
    number,
    number,
  ];
  let [xx, xz, zz, xy, zy] = [0, 0, 0, 0, 0];
  for (const { x, z, y } of cells) {
    xx += (x - mx) ** 2;
    xz += (x - mx) * (z - mz);
    zz += (z - mz) ** 2;
    xy += (x - mx) * (y - my);
    zy += (z - mz) * (y - my);
  }
  const determinant = xx * zz - xz * xz;
  if (!(determinant > 1e-9 * xx * zz)) return undefined;
  return { keys: (xy * zz - zy * xz) / determinant, length: (zy * xx - xy * xz) / determinant };
}
