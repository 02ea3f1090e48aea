/** Claim 2 of arXiv 2404.02690: with log n keys an error remains, however long the context. */

import { type Estimate, median } from '../numerics/statistics.ts';
import { logKeys, powerKeys } from './budgets.ts';
import { type Claim, holdsForMostHeads, MIN_HEAD_SHARE, type Outcome, type Result, verdictOf } from './claim.ts';
import { gaussianCurves, headCurves } from './curves.ts';
import { readingsOf } from './readings.ts';
import { QUANTITIES, type Quantity } from './row.ts';
import { meansOf, type Source, type Study, valueAt } from './source.ts';
import { exponentOf, formatEstimate, MIN_STANDARD_ERRORS, trendOf } from './statistics.ts';

export const logError: Claim = {
  name: 'log-error',
  title: 'log n entries: does an error remain?',
  statement:
    'With o(log n) entries, or about as few, stable approximation is not possible: an error of order 1 remains however long the context is (arXiv 2404.02690, second claim).',
  criterion: `With log2 n keys the error falls more slowly than 1 / ln n, if it falls at all: its exponent is above −1 / ln of the middle length by at least ${MIN_STANDARD_ERRORS} standard errors. On captures: in at least ${MIN_HEAD_SHARE * 100} % of the heads.`,
  judge,
};

/** Exponent with which 1 / ln n itself falls in the middle of the lengths. */
export const slowest = ({ lengths }: Source): number =>
  -1 / (0.5 * (Math.log(lengths[0] as number) + Math.log(lengths.at(-1) as number)));

export const persists = ({ value, error }: Estimate, bound: number): boolean =>
  value - MIN_STANDARD_ERRORS * error > bound;

const exponent = (source: Source, quantity: Quantity): Estimate =>
  exponentOf(source, (measurement) => valueAt(measurement, quantity, logKeys(measurement.n)));

/** The error with log n keys at the shortest and at the longest length. */
function ends(source: Source, quantity: Quantity): [number, number] {
  const means = meansOf(source).map((measurement) => valueAt(measurement, quantity, logKeys(measurement.n)));
  return [means[0] as number, means.at(-1) as number];
}

function judge(study: Study): Outcome {
  const gaussian = readingsOf(study).map(({ source, quantity, on }): Result => {
    const measuredExponent = exponent(source, quantity);
    const bound = slowest(source);
    const figures = { exponent: measuredExponent, bound, ends: ends(source, quantity) };
    return { on, quantity, figures, holds: persists(measuredExponent, bound) };
  });
  const captured =
    study.captures.length === 0
      ? []
      : (['output', 'tailMass'] as const).map((quantity): Result => {
          const heads = study.captures.map((source) => ({
            exponent: exponent(source, quantity),
            bound: slowest(source),
            ends: ends(source, quantity),
          }));
          const persistingHeads = heads.filter((head) => persists(head.exponent, head.bound)).length;
          const medians = {
            exponent: median(heads.map((head) => head.exponent.value)),
            ends: [0, 1].map((at) => median(heads.map((head) => head.ends[at] as number))),
          };
          const figures = { heads: heads.length, holding: persistingHeads, medians };
          const holds = holdsForMostHeads(heads, (head) => persists(head.exponent, head.bound));
          return { on: `${heads.length} captured heads`, quantity, figures, holds };
        });
  const results = [...gaussian, ...captured];
  const budgets = [
    { name: 'log2 n', keys: logKeys },
    { name: 'n^0.5', keys: (n: number) => powerKeys(n, 0.5) },
    { name: 'n^0.7', keys: (n: number) => powerKeys(n, 0.7) },
  ];
  const persistingCount = gaussian.filter(({ holds }) => holds).length;
  const risingCount = gaussian.filter(({ figures }) => trendOf(figures.exponent as Estimate) === 'rises').length;
  return {
    holds: verdictOf(results),
    findings: [
      `Gaussian inputs: an error remains in ${persistingCount} of ${gaussian.length} readings, and rises with n in ${risingCount}.`,
      ...captured.map(({ quantity, figures }) => {
        const { heads, holding, medians } = figures as {
          heads: number;
          holding: number;
          medians: { exponent: number; ends: number[] };
        };
        const [first = 0, last = 0] = medians.ends;
        return `Captured heads, ${QUANTITIES[quantity as Quantity]}: it remains in ${holding} of ${heads}; the median is ${first.toFixed(2)} at the shortest length and ${last.toFixed(2)} at the longest.`;
      }),
    ],
    results,
    tables: [
      {
        caption: 'Gaussian inputs, log2 n keys: the error at the shortest and the longest length, and its exponent',
        columns: ['inputs', 'quantity', 'shortest', 'longest', 'exponent', 'bound', 'remains'],
        rows: gaussian.map(({ on, quantity, figures, holds }) => {
          const {
            exponent: measuredExponent,
            bound,
            ends: [first, last],
          } = figures as {
            exponent: Estimate;
            bound: number;
            ends: [number, number];
          };
          return [
            on,
            QUANTITIES[quantity as Quantity],
            first.toPrecision(3),
            last.toPrecision(3),
            formatEstimate(measuredExponent),
            bound.toFixed(3).replace('-', '−'),
            holds ? 'yes' : 'no',
          ];
        }),
      },
    ],
    figures: [
      gaussianCurves(study, {
        name: 'log-error-gaussian',
        title: 'Gaussian inputs, spread 2: log n keys against powers of n',
        budgets,
      }),
      ...(captured.length > 0
        ? [
            headCurves(study, {
              name: 'log-error-captures',
              title: 'A real model: log n keys against powers of n, mean over the heads of a capture',
              quantities: ['output'],
              budgets,
            }),
          ]
        : []),
    ],
  };
}
