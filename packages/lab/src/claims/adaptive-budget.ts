/** Claim 3 of arXiv 2404.02690: a window of alpha n^C keys is more accurate and cheaper than a fixed one. */

import { type Estimate, jackknife, median } from '../numerics/statistics.ts';
import type { Curve, CurvesFigure } from '../plot/curves.ts';
import { type Comparison, compareBudgets, keysOfLaw, ROUNDING_ERROR } from './adaptive.ts';
import { type Claim, type Outcome, type Result, type Table, verdictOf } from './claim.ts';
import { headsByCapture } from './curves.ts';
import { readingsOf } from './readings.ts';
import { type Measurement, meanMeasurement, QUANTITIES, type Quantity } from './row.ts';
import { meansOf, type Study } from './source.ts';
import { formatEstimate, MIN_STANDARD_ERRORS } from './statistics.ts';

/** The error, or share, that both budgets are to stay below. */
const TARGET = 0.1;

export const adaptiveBudget: Claim = {
  name: 'adaptive-budget',
  title: 'alpha n^C against a fixed budget, over contexts of many lengths',
  statement:
    'A window of alpha n^C keys is guaranteed to be more accurate and more efficient than a fixed one where contexts have different lengths (arXiv 2404.02690, third claim).',
  criterion: `Lengths are equally frequent, and compared one by one: one mean error over all of them would hide that a growing budget moves keys from short contexts to long ones. (1) Same error: with both budgets just large enough for ${TARGET} at every length, the fixed one costs more mean keys, by at least ${MIN_STANDARD_ERRORS} standard errors. (2) Same mean keys, worst length: the largest error over the lengths is smaller with alpha n^C, by at least ${MIN_STANDARD_ERRORS} standard errors. (3) Same mean keys, every length: alpha n^C has the smaller error at each length.`,
  judge,
};

/** A reading with its parts: repetitions or heads, each with its mean at every length. */
interface Compared {
  on: string;
  quantity: Quantity;
  parts: Measurement[][];
}

interface Figures {
  comparison: Comparison;
  costRatio: Estimate;
  /** Largest error over the lengths at equal mean keys, fixed over law. */
  worstRatio: Estimate;
}

function judge(study: Study): Outcome {
  const gaussian = readingsOf(study)
    .filter(({ quantity }) => quantity !== 'matrix')
    .map(({ source, quantity, on }): Compared => ({ on, quantity, parts: source.repetitions }));
  const groups = headsByCapture(study.captures);
  const captured = groups.flatMap(({ label, heads }) =>
    (['output', 'tailMass'] as const).map((quantity): Compared => ({ on: label, quantity, parts: heads.map(meansOf) })),
  );
  const compared = [...gaussian, ...captured].map((each) => ({ ...each, figures: compare(each) }));
  const results = compared.flatMap(({ on, quantity, figures }) => resultsOf(on, quantity, figures));
  const perHeadLaws = groups.map(({ label, heads }) => {
    const ratios = heads.map((head) => compareBudgets(meansOf(head), 'output', TARGET).costRatio);
    return `${label}: where each head has its own law, its own fixed budget costs ${median(ratios).toFixed(2)} times as many mean keys in the median head (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}) for a relative error of ${TARGET}.`;
  });
  return {
    holds: verdictOf(results),
    findings: [...countsOf(results), ...sentences(compared), ...perHeadLaws],
    results,
    tables: [costTable(compared), ...compared.filter(isShown).map(lengthTable)],
    figures: [costFigure(compared.filter(isShown)), errorFigure(compared.filter(isShown))],
  };
}

function compare({ quantity, parts }: Compared): Figures {
  const figure = (subset: readonly Measurement[][]) => {
    const lengths = (subset[0] ?? []).map((_, at) => meanMeasurement(subset.map((part) => part[at] as Measurement)));
    return compareBudgets(lengths, quantity, TARGET);
  };
  const worstRatio = ({ equalCost: { worst } }: Comparison) => worst.fixed / worst.law;
  return {
    comparison: figure(parts),
    costRatio: jackknife(parts, (subset) => figure(subset).costRatio),
    worstRatio: jackknife(parts, (subset) => worstRatio(figure(subset))),
  };
}

/** JSON has no infinity: null where all keys are needed. */
const finite = (ratio: Estimate): Estimate | null => (Number.isFinite(ratio.value) ? ratio : null);

function resultsOf(on: string, quantity: Quantity, { comparison, costRatio, worstRatio }: Figures): Result[] {
  const { law, fixed, lengths, equalCost } = comparison;
  const larger = ({ value, error }: Estimate) => value - MIN_STANDARD_ERRORS * error > 1;
  return [
    { on: `${on}: same error`, quantity, figures: { law, fixed, lengths, costRatio }, holds: larger(costRatio) },
    {
      on: `${on}: same cost, worst length`,
      quantity,
      figures: { worstRatio: finite(worstRatio) },
      holds: larger(worstRatio),
    },
    {
      on: `${on}: same cost, every length`,
      quantity,
      figures: { equalCost },
      holds: equalCost.errors.every((each) => each.law < each.fixed + ROUNDING_ERROR),
    },
  ];
}

/** How many readings each part of the criterion holds in. */
function countsOf(results: readonly Result[]): string[] {
  return ['same error', 'same cost, worst length', 'same cost, every length'].map((part) => {
    const partResults = results.filter(({ on }) => on.endsWith(`: ${part}`));
    return `${part.charAt(0).toUpperCase()}${part.slice(1)}: alpha n^C is better in ${partResults.filter(({ holds }) => holds).length} of ${partResults.length} readings.`;
  });
}

type JudgedReading = Compared & { figures: Figures };

/** The readings that are drawn: the output of captures, and two on Gaussian inputs that differ. */
const isShown = ({ on, quantity }: Compared): boolean =>
  (quantity === 'output' && (on.includes('heads') || on === 'spread 3, values of the tokens')) ||
  (quantity === 'outputAbsolute' && on === 'spread 3, values independent');

function sentences(compared: readonly JudgedReading[]): string[] {
  const captured = compared.filter(({ on }) => on.includes('heads'));
  const list = captured.map(({ on, quantity, figures }) => {
    const { law, equalCost } = figures.comparison;
    const worse = equalCost.errors.filter((each) => each.law > each.fixed).map(({ n }) => n.toLocaleString('en-US'));
    return `${on}, ${QUANTITIES[quantity]}: the law is ${law.alpha.toPrecision(3)} n^${law.C.toFixed(2)}; for ${TARGET} at every length a fixed budget costs ${formatEstimate(figures.costRatio)} times its mean keys; with the same mean keys the worst length has ${ratioOf(figures.worstRatio)} times the error; the law is worse at ${worse.length === 0 ? 'no length' : `${worse.join(', ')} keys`}; the mean over all lengths, which misleads, is ${equalCost.mean.law.toPrecision(3)} against ${equalCost.mean.fixed.toPrecision(3)}.`;
  });
  const absolute = compared.filter(({ quantity, on }) => quantity === 'outputAbsolute' && on.endsWith('independent'));
  const exponents = absolute.map(({ on, figures }) => `${figures.comparison.law.C.toFixed(2)} (${on})`);
  return [
    ...list,
    `Gaussian inputs, absolute error with independent values, the reading in which the first claim holds: the keys needed grow as n to the power of ${exponents.join(', ').replaceAll('-', '−')}. The nearer that is to 0, the less there is to gain over a fixed number.`,
  ];
}

function costTable(compared: readonly JudgedReading[]): Table {
  return {
    caption: `For ${TARGET} at every length: the law, and what a fixed budget costs and errs in its place, ± standard error`,
    columns: ['inputs', 'quantity', 'alpha', 'C', 'fixed', 'mean keys, fixed / law', 'worst error, fixed / law'],
    rows: compared.map(({ on, quantity, figures: { comparison, costRatio, worstRatio } }) => [
      on,
      QUANTITIES[quantity],
      comparison.law.alpha.toPrecision(3),
      comparison.law.C.toFixed(2).replace('-', '−'),
      Math.round(comparison.fixed).toLocaleString('en-US'),
      formatEstimate(costRatio),
      ratioOf(worstRatio),
    ]),
  };
}

/** Where all keys are needed, both budgets read them all and err by nothing. */
const ratioOf = (ratio: Estimate): string => (Number.isFinite(ratio.value) ? formatEstimate(ratio) : 'all keys needed');

function lengthTable({ on, quantity, figures: { comparison } }: JudgedReading): Table {
  const keys = (count: number) => Math.round(count).toLocaleString('en-US');
  return {
    caption: `${on}, ${QUANTITIES[quantity]}: length by length`,
    columns: ['n', 'keys needed', 'law', 'fixed', 'same mean keys: error, law', 'error, fixed'],
    rows: comparison.lengths.map(({ n, needed, law, fixed }, at) => {
      const errors = comparison.equalCost.errors[at];
      return [
        keys(n),
        keys(needed),
        keys(law),
        keys(fixed),
        errors?.law.toPrecision(3) ?? '',
        errors?.fixed.toPrecision(3) ?? '',
      ];
    }),
  };
}

const panelOf = ({ on, quantity }: Compared): string =>
  on.includes('heads') ? `Model, ${on}` : `Gaussian, ${on}, ${quantity === 'output' ? 'relative' : 'absolute'}`;

function costFigure(shown: readonly JudgedReading[]): CurvesFigure {
  const curves = shown.flatMap((each): Curve[] => {
    const { lengths, law } = each.figures.comparison;
    const points = (pick: (row: (typeof lengths)[number]) => number) =>
      lengths.map((row) => ({ x: row.n, y: pick(row) }));
    const panel = panelOf(each);
    return [
      { panel, name: 'needed', points: points(({ needed }) => needed) },
      { panel, name: 'alpha n^C', style: 'theory', points: points(({ n }) => keysOfLaw(law, n)) },
      { panel, name: 'fixed', points: points(({ fixed }) => fixed) },
    ];
  });
  return {
    name: 'adaptive-budget-cost',
    title: `Keys for an output error of ${TARGET} at every length: what is needed, and what each budget takes`,
    x: 'keys in the context, n',
    y: 'keys read',
    curves,
  };
}

function errorFigure(shown: readonly JudgedReading[]): CurvesFigure {
  const curves = shown.flatMap((each): Curve[] => {
    const { errors } = each.figures.comparison.equalCost;
    const panel = panelOf(each);
    return [
      { panel, name: 'alpha n^C', points: errors.map(({ n, law }) => ({ x: n, y: law })) },
      { panel, name: 'fixed', points: errors.map(({ n, fixed }) => ({ x: n, y: fixed })) },
    ].map((curve): Curve => ({ ...curve, points: curve.points.filter(({ y }) => y > 1e-6) }));
  });
  return {
    name: 'adaptive-budget-error',
    title: 'The same mean keys for both: the error at each length',
    x: 'keys in the context, n',
    y: 'error of the output, tail dropped',
    curves,
  };
}
