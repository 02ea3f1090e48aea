/** The curves that several claims draw: a quantity against n, for a few budgets. */

import { estimateMean } from '../numerics/statistics.ts';
import type { Curve, CurvesFigure } from '../plot/curves.ts';
import { gaussianName } from './gaussian-source.ts';
import type { Quantity } from './row.ts';
import { type Source, type Study, valueAt } from './source.ts';

export interface BudgetCurve {
  name: string;
  keys(n: number): number;
}

/** The spread whose curves are drawn. */
export const DRAWN_SPREAD = 2;

const N = 'keys in the context, n';

/** Four panels, one for each meaning of the error, on Gaussian inputs. */
export function gaussianCurves(
  { gaussian }: Study,
  { name, title, budgets }: { name: string; title: string; budgets: readonly BudgetCurve[] },
): CurvesFigure {
  const sourceOf = (kind: 'independent' | 'of the tokens') =>
    gaussian.find((source) => source.name === gaussianName(DRAWN_SPREAD, kind)) ?? (gaussian[0] as Source);
  const panels: [panel: string, source: Source, quantity: Quantity][] = [
    ['Absolute error, values independent of keys', sourceOf('independent'), 'outputAbsolute'],
    ['Relative error, values independent of keys', sourceOf('independent'), 'output'],
    ['Relative error, values of the same tokens', sourceOf('of the tokens'), 'output'],
    ['Discarded share of the softmax', sourceOf('independent'), 'tailMass'],
  ];
  const curves = panels.flatMap(([panel, source, quantity]) =>
    budgets.map((budget): Curve => ({ panel, name: budget.name, points: pointsOf(source, quantity, budget) })),
  );
  return { name, title, x: N, y: 'error or share', curves };
}

/** A point for each length: mean of the repetitions, and its standard error. */
export function pointsOf({ lengths, repetitions }: Source, quantity: Quantity, { keys }: BudgetCurve): Curve['points'] {
  return lengths.map((n, at) => {
    const { value, error } = estimateMean(
      repetitions.map((repetition) => valueAt(repetition[at] as (typeof repetition)[number], quantity, keys(n))),
    );
    return { x: n, y: value, error };
  });
}

/** A panel for each quantity and capture: the mean over its heads, with the standard error over heads. */
export function headCurves(
  { captures }: Study,
  options: { name: string; title: string; quantities: readonly Quantity[]; budgets: readonly BudgetCurve[] },
): CurvesFigure {
  const { name, title, quantities, budgets } = options;
  const curves = quantities.flatMap((quantity) =>
    headsByCapture(captures).flatMap(({ label, heads }) =>
      budgets.map((budget): Curve => {
        const points = heads.map((head) => pointsOf(head, quantity, budget));
        return {
          panel: `${quantity === 'output' ? 'Relative error of the output' : 'Discarded share'}, ${label}`,
          name: budget.name,
          points: (points[0] ?? []).map(({ x }, at) => {
            const { value, error } = estimateMean(points.map((headPoints) => headPoints[at]?.y ?? Number.NaN));
            return { x, y: value, error };
          }),
        };
      }),
    ),
  );
  return { name, title, x: N, y: 'error or share, tail dropped', curves };
}

/** Captured heads by their lengths: those of one capture. */
export function headsByCapture(captures: readonly Source[]): { label: string; heads: Source[] }[] {
  const longest = [...new Set(captures.map(({ lengths }) => lengths.at(-1) as number))].sort((a, b) => a - b);
  return longest.map((n) => {
    const heads = captures.filter(({ lengths }) => lengths.at(-1) === n);
    return { label: `${heads.length} heads to ${n.toLocaleString('en-US')} keys`, heads };
  });
}
