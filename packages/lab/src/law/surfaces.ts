/**
 * The errors of groups as planes over the logarithms of keys and length, ln error^2 = level + keys (ln k - ln k0) +
 * length (ln n - ln n0), with slopes that are pulled towards those of all groups by their uncertainty.
 */

import type { ErrorSurface } from 'keysieve';
import { KEPT_RECENT_KEYS, SINK_KEYS } from 'keysieve';
import { mean, standardDeviation } from '../numerics/statistics.ts';
import { shrink } from './shrink.ts';

/** Squared errors of one query of a group: NaN where a budget was not tried. */
export interface TrialQuery {
  /** Index of its length. */
  length: number;
  /** Keys that it sees. */
  n: number;
  squares: ArrayLike<number>;
}

/** Where the planes are centred. */
export interface Centre {
  keys: number;
  length: number;
}

interface Cell {
  x: number;
  z: number;
  y: number;
}

/** With more of the keys than this share the slope over keys bends down: such cells are left out. */
const MAX_KEY_SHARE = 1 / 4;
/** Budgets that the keys which are always kept use up choose nothing, and say nothing of more. */
const ALWAYS_INCLUDED_KEYS = SINK_KEYS + KEPT_RECENT_KEYS;
/** Cells that a plane needs to have slopes of its own. */
const MIN_CELLS = 6;
const RESAMPLES = 60;
/** What stands for a standard error that cannot be told: larger than any between groups. */
const FALLBACK_STANDARD_ERROR = 10;
/** Errors must fall with the keys, or nothing can be divided by them: at least by this share of what all have. */
const MIN_SLOPE_RATIO = 1 / 4;

/** Surfaces of groups, given the queries of each that were tried. */
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
  // Queries are drawn anew, and with each all of its budgets: these err together.
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

/** The least squares plane; undefined where the cells lie on a line. */
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
