/** Where the first claim fails: the share of the softmax that n^C keys hold, at a fixed spread of the scores. */
import { normalQuantile, upperTail } from '../numerics/gaussian.ts';
import { type Estimate, median } from '../numerics/statistics.ts';
import type { Curve } from '../plot/curves.ts';
import { EXPONENTS, powerKeys } from './budgets.ts';
import { type Claim, holdsForMostHeads, MIN_HEAD_SHARE, type Outcome, type Result, verdictOf } from './claim.ts';
import { headsByCapture, pointsOf } from './curves.ts';
import { meansOf, type Source, type Study, valueAt } from './source.ts';
import { exponentOf, formatEstimate, MIN_STANDARD_ERRORS, slopeOf, trendOf } from './statistics.ts';

export const capturedMass: Claim = {
  name: 'captured-mass',
  title: 'Do n^C keys hold more and more of the softmax?',
  statement:
    'Few entries hold nearly all of the softmax, and more nearly so the longer the context: what one may take the first claim to say, and what most methods that select keys rely on.',
  criterion: `The share that the largest n^C keys leave out falls with n for each C in ${EXPONENTS.join(', ')}, by ${MIN_STANDARD_ERRORS} standard errors. On captures: in at least ${MIN_HEAD_SHARE * 100} % of the heads.`,
  judge,
};

const exponent = (source: Source, C: number): Estimate =>
  exponentOf(source, (measurement) => valueAt(measurement, 'tailMass', powerKeys(measurement.n, C)));

/**
 * The share that n^C keys leave out of infinitely many Gaussian scores: of weights e^(spread z), those of z below t weigh
 * Phi(t - spread), where n^C of n are above t (the rule of arXiv 2512.07647, solved for the share).
 */
export const gaussianShare = (n: number, C: number, spread: number): number =>
  1 - upperTail(-normalQuantile(n ** (C - 1)) - spread);

/** How far the curves of theory are drawn. */
const MAX_THEORY_N = 2 ** 22;

function judge(study: Study): Outcome {
  const spreads = study.gaussian.filter(({ name }) => name.endsWith('independent'));
  const nameOf = ({ name }: Source) => name.replace(/, values.*/, '');
  const gaussian = spreads.map((source): Result => {
    const exponents = EXPONENTS.map((C) => ({ C, ...exponent(source, C) }));
    const theory = meansOf(source).flatMap((measurement) =>
      EXPONENTS.map((C) => {
        const measured = valueAt(measurement, 'tailMass', powerKeys(measurement.n, C));
        return Math.abs(measured - gaussianShare(measurement.n, C, measurement.spread));
      }),
    );
    const figures = { exponents, farthestFromTheory: Math.max(...theory) };
    const holds = exponents.every((each) => trendOf(each) === 'falls');
    return { on: nameOf(source), quantity: 'tailMass', figures, holds };
  });
  const groups = headsByCapture(study.captures);
  const captured = groups.map(({ label, heads }): Result => {
    const exponents = EXPONENTS.map((C) => {
      const headExponents = heads.map((head) => exponent(head, C));
      const count = (trend: string) => headExponents.filter((each) => trendOf(each) === trend).length;
      return {
        C,
        median: median(headExponents.map(({ value }) => value)),
        falls: count('falls'),
        rises: count('rises'),
      };
    });
    const growth = heads.map((head) => slopeOf(head, ({ spread }) => spread));
    const figures = {
      heads: heads.length,
      exponents,
      spreadRises: growth.filter((each) => trendOf(each) === 'rises').length,
      spread: [0, -1].map((at) => median(heads.map((head) => meansOf(head).at(at)?.spread ?? Number.NaN))),
    };
    const holds = EXPONENTS.every((C) => holdsForMostHeads(heads, (head) => trendOf(exponent(head, C)) === 'falls'));
    return { on: label, quantity: 'tailMass', figures, holds };
  });
  const results = [...gaussian, ...captured];
  return {
    holds: verdictOf(results),
    findings: [
      ...gaussian.map(({ on, figures }) => {
        const { exponents, farthestFromTheory } = figures as {
          exponents: (Estimate & { C: number })[];
          farthestFromTheory: number;
        };
        const rising = exponents.filter((each) => trendOf(each) === 'rises').map(({ C }) => C);
        return `Gaussian inputs, ${on}: the share left out rises with n for C = ${rising.join(', ') || 'none'}; the closed form is at most ${farthestFromTheory.toFixed(3)} away.`;
      }),
      ...captured.map(({ on, figures }) => {
        const { exponents, spread, spreadRises, heads } = figures as unknown as CapturedFigures;
        const each = exponents.map(({ C, falls, rises }) => `C = ${C}: falls in ${falls}, rises in ${rises}`);
        const [first, last] = spread.map((x) => x.toFixed(2));
        return `${on}: ${each.join('; ')}. The spread of their scores is not fixed: the median grows from ${first} to ${last} nats, and it rises in ${spreadRises} of ${heads} heads. A constant C below 1 needs that: at a fixed spread C drifts to 1.`;
      }),
    ],
    results,
    tables: [
      {
        caption: 'Gaussian inputs: exponent of the share that n^C keys leave out, ± standard error',
        columns: ['inputs', ...EXPONENTS.map((C) => `C = ${C}`), 'falls'],
        rows: gaussian.map(({ on, figures, holds }) => [
          on,
          ...(figures.exponents as Estimate[]).map(formatEstimate),
          holds ? 'yes' : 'no',
        ]),
      },
    ],
    figures: [
      {
        name: 'captured-mass',
        title:
          'The share of the softmax that n^0.5 and n^0.7 keys leave out: points measured, dashed from the closed form',
        x: 'keys in the context, n',
        y: 'discarded share',
        yLinear: true,
        curves: [0.5, 0.7].flatMap((C) => [
          ...spreads.flatMap((source, color): Curve[] => {
            const panel = `Gaussian inputs, n^${C} keys`;
            const { spread } = meansOf(source).at(-1) ?? { spread: Number.NaN };
            const theory = [];
            for (let n = source.lengths[0] as number; n <= MAX_THEORY_N; n *= 2) {
              theory.push({ x: n, y: gaussianShare(n, C, spread) });
            }
            const points = pointsOf(source, 'tailMass', { name: '', keys: (n) => powerKeys(n, C) });
            return [
              { panel, name: nameOf(source), style: 'theory', color, points: theory },
              { panel, name: '', color, points },
            ];
          }),
          ...groups.flatMap(({ heads }, color) =>
            heads.map((head): Curve => {
              const points = pointsOf(head, 'tailMass', { name: '', keys: (n) => powerKeys(n, C) });
              return { panel: `Heads of a model, n^${C} keys`, name: head.name, style: 'thin', color, points };
            }),
          ),
        ]),
      },
    ],
  };
}

interface CapturedFigures {
  heads: number;
  exponents: { C: number; falls: number; rises: number }[];
  spread: number[];
  spreadRises: number;
}
