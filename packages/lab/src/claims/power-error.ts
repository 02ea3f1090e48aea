/** Claim 1 of arXiv 2404.02690: the largest n^C entries approximate attention with an error that falls as n grows. */

import { type Estimate, median } from '../numerics/statistics.ts';
import { EXPONENTS, powerKeys } from './budgets.ts';
import {
  type Claim,
  holdsForMostHeads,
  MIN_HEAD_SHARE,
  type Outcome,
  type Result,
  type Table,
  verdictOf,
} from './claim.ts';
import { gaussianCurves, headCurves } from './curves.ts';
import { readingsOf } from './readings.ts';
import { QUANTITIES, type Quantity } from './row.ts';
import { type Source, type Study, valueAt } from './source.ts';
import { exponentOf, formatEstimate, MIN_STANDARD_ERRORS, type Trend, trendOf } from './statistics.ts';

export const powerError: Claim = {
  name: 'power-error',
  title: 'The largest n^C entries: does the error fall?',
  statement:
    'Attention is n^C-sparse: for any constant C in (0, 1), the largest n^C of n entries approximate exact attention with an error that decreases as n grows (arXiv 2404.02690, first claim).',
  criterion: `For each C in ${EXPONENTS.join(', ')}, the exponent of the error's growth with n (least squares of ln error on ln n, in each repetition) is below 0 by at least ${MIN_STANDARD_ERRORS} standard errors. On captures: in at least ${MIN_HEAD_SHARE * 100} % of the heads.`,
  judge,
};

/** The exponent of the error that n^C keys leave. */
const exponent = (source: Source, quantity: Quantity, C: number): Estimate =>
  exponentOf(source, (measurement) => valueAt(measurement, quantity, powerKeys(measurement.n, C)));

function judge(study: Study): Outcome {
  const gaussian = readingsOf(study).map(({ source, quantity, on }): Result => {
    const exponents = EXPONENTS.map((C) => ({ C, ...exponent(source, quantity, C) }));
    return { on, quantity, figures: { exponents }, holds: exponents.every((each) => trendOf(each) === 'falls') };
  });
  const captured =
    study.captures.length === 0
      ? []
      : (['matrix', 'output', 'tailMass'] as const).map((quantity): Result => {
          const exponents = EXPONENTS.map((C) => {
            const heads = study.captures.map((source) => exponent(source, quantity, C));
            const count = (trend: Trend) => heads.filter((head) => trendOf(head) === trend).length;
            const medianExponent = median(heads.map(({ value }) => value));
            return {
              C,
              median: medianExponent,
              falls: count('falls'),
              unclear: count('unclear'),
              rises: count('rises'),
              heads,
            };
          });
          const holds = exponents.every(({ heads }) => holdsForMostHeads(heads, (head) => trendOf(head) === 'falls'));
          const figures = { exponents: exponents.map(({ heads, ...rest }) => rest) };
          return { on: `${study.captures.length} captured heads`, quantity, figures, holds };
        });
  const results = [...gaussian, ...captured];
  return {
    holds: verdictOf(results),
    findings: findingsOf(gaussian, captured),
    results,
    tables: [gaussianTable(gaussian), ...(captured.length > 0 ? [captureTable(captured)] : [])],
    figures: [
      gaussianCurves(study, {
        name: 'power-error-gaussian',
        title: 'Gaussian inputs, spread 2: what n^C keys leave out, by what is called the error',
        budgets: EXPONENTS.map((C) => ({ name: `n^${C}`, keys: (n: number) => powerKeys(n, C) })),
      }),
      ...(captured.length > 0
        ? [
            headCurves(study, {
              name: 'power-error-captures',
              title: 'A real model: error and discarded share of n^C keys, mean over the heads of a capture',
              quantities: ['output', 'tailMass'],
              budgets: EXPONENTS.map((C) => ({ name: `n^${C}`, keys: (n: number) => powerKeys(n, C) })),
            }),
          ]
        : []),
    ],
  };
}

interface HeadExponent {
  C: number;
  median: number;
  falls: number;
  unclear: number;
  rises: number;
}

const estimatesOf = (result: Result) => result.figures.exponents as (Estimate & { C: number })[];
const headsOf = (result: Result) => result.figures.exponents as HeadExponent[];

function findingsOf(gaussian: readonly Result[], captured: readonly Result[]): string[] {
  const byQuantity = Object.entries(QUANTITIES).flatMap(([quantity, name]) => {
    const quantityResults = gaussian.filter((result) => result.quantity === quantity);
    if (quantityResults.length === 0) return [];
    const values = quantityResults.flatMap(estimatesOf).map(({ value }) => value);
    const [low, high] = [Math.min(...values), Math.max(...values)].map((x) => x.toFixed(2).replace('-', '−'));
    const yes = quantityResults.filter(({ holds }) => holds).map(({ on }) => on);
    const where =
      yes.length === quantityResults.length
        ? 'on all of them'
        : yes.length === 0
          ? 'on none of them'
          : `on ${yes.length} of ${quantityResults.length} (${yes.join('; ')})`;
    return [`Gaussian inputs, ${name}: it falls for every C ${where} (exponents ${low} to ${high}).`];
  });
  const heads = captured.map((result) => {
    const each = headsOf(result).map(({ C, falls, rises }) => `C = ${C}: falls in ${falls}, rises in ${rises}`);
    return `${result.on}, ${QUANTITIES[result.quantity as Quantity]}: ${each.join('; ')}.`;
  });
  return [...byQuantity, ...heads];
}

function gaussianTable(results: readonly Result[]): Table {
  return {
    caption: 'Gaussian inputs: exponent of the growth with n of what n^C keys leave, ± standard error',
    columns: ['inputs', 'quantity', ...EXPONENTS.map((C) => `C = ${C}`), 'falls'],
    rows: results.map((result) => [
      result.on,
      QUANTITIES[result.quantity as Quantity],
      ...estimatesOf(result).map(formatEstimate),
      result.holds ? 'yes' : 'no',
    ]),
  };
}

function captureTable(results: readonly Result[]): Table {
  return {
    caption: 'Captured heads: median exponent (heads in which it falls / is unclear / rises)',
    columns: ['quantity', ...EXPONENTS.map((C) => `C = ${C}`), 'falls in most'],
    rows: results.map((result) => [
      QUANTITIES[result.quantity as Quantity],
      ...headsOf(result).map(({ median, falls, unclear, rises }) =>
        `${median.toFixed(2)} (${falls} / ${unclear} / ${rises})`.replace('-', '−'),
      ),
      result.holds ? 'yes' : 'no',
    ]),
  };
}
