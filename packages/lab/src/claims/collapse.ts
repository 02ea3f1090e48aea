/** Theorem 5.1 of arXiv 2404.02690 as others sum it up: the entries that count fall to a few as n grows. */

import { type Estimate, estimateMean, mean } from '../numerics/statistics.ts';
import type { Curve } from '../plot/curves.ts';
import { type Claim, holdsForMostHeads, MIN_HEAD_SHARE, type Outcome, type Result, verdictOf } from './claim.ts';
import { headsByCapture } from './curves.ts';
import { THRESHOLD } from './row.ts';
import { meansOf, type Source, type Study } from './source.ts';
import { formatEstimate, MIN_STANDARD_ERRORS, slopeOf, trendOf } from './statistics.ts';

export const collapse: Claim = {
  name: 'collapse',
  title: 'Entries above an absolute threshold: do they stay few?',
  statement: `With bounded weights the effective entries of a row, those above an absolute threshold, fall to O(1) as n grows ("attention collapse", arXiv 2404.02690, theorem 5.1 as summaries give it). The threshold here is ${THRESHOLD}.`,
  criterion: `The mean number of entries above ${THRESHOLD} does not rise with n: its slope over ln n is not above 0 by ${MIN_STANDARD_ERRORS} standard errors. On captures: in at least ${MIN_HEAD_SHARE * 100} % of the heads. What share of the softmax those entries hold is another matter, and stands beside it.`,
  judge,
};

const doesNotRise = (slope: Estimate): boolean => trendOf(slope) !== 'rises';
const slope = (source: Source): Estimate => slopeOf(source, ({ above }) => above);

function judge(study: Study): Outcome {
  const spreads = study.gaussian.filter(({ name }) => name.endsWith('independent'));
  const nameOf = ({ name }: Source) => name.replace(/, values.*/, '');
  const rows = spreads.map((source) => {
    const means = meansOf(source);
    const ends = [means[0], means.at(-1)].map((each) => ({ above: each?.above ?? 0, mass: each?.aboveMass ?? 0 }));
    return { on: nameOf(source), slope: slope(source), ends };
  });
  const gaussian = rows.map(({ on, slope: measuredSlope, ends }): Result => {
    const figures = { slope: measuredSlope, ends };
    return { on, quantity: 'entries above the threshold', figures, holds: doesNotRise(measuredSlope) };
  });
  const groups = headsByCapture(study.captures);
  const captured = groups.map(({ label, heads }): Result => {
    const rising = heads.filter((head) => !doesNotRise(slope(head))).length;
    const at = (which: 0 | -1) => {
      const ends = heads.map((head) => meansOf(head).at(which));
      return {
        above: mean(ends.map((end) => end?.above ?? 0)),
        mass: mean(ends.map((end) => end?.aboveMass ?? 0)),
      };
    };
    const figures = { heads: heads.length, rising, shortest: at(0), longest: at(-1) };
    return {
      on: label,
      quantity: 'entries above the threshold',
      figures,
      holds: holdsForMostHeads(heads, (head) => doesNotRise(slope(head))),
    };
  });
  const results = [...gaussian, ...captured];
  const curves = [
    ...spreads.flatMap((source): Curve[] => curvesOf('Gaussian inputs', nameOf(source), [source])),
    ...groups.flatMap(({ label, heads }) => curvesOf('A real model', label.replace(/ keys$/, ''), heads)),
  ];
  return {
    holds: verdictOf(results),
    findings: [
      ...rows.map(
        ({ on, ends: [first, last] }) =>
          `Gaussian inputs, ${on}: ${first?.above.toFixed(1)} entries at the shortest length hold ${percent(first?.mass)} of the softmax, ${last?.above.toFixed(1)} at the longest hold ${percent(last?.mass)}.`,
      ),
      ...(rows.every(({ ends: [first, last] }) => (last?.mass ?? 0) < (first?.mass ?? 0))
        ? ['On Gaussian inputs the few that remain hold less and less: the softmax spreads out, it does not gather.']
        : []),
      ...captured.map(({ on, figures }) => {
        const { heads, rising, shortest, longest } = figures as unknown as {
          heads: number;
          rising: number;
          shortest: { above: number; mass: number };
          longest: { above: number; mass: number };
        };
        return `${on}: ${shortest.above.toFixed(1)} entries hold ${percent(shortest.mass)} at the shortest length, ${longest.above.toFixed(1)} hold ${percent(longest.mass)} at the longest; their number rises in ${rising} of ${heads} heads.`;
      }),
    ],
    results,
    tables: [
      {
        caption: `Gaussian inputs: entries above ${THRESHOLD}, and the share of the softmax that they hold`,
        columns: ['inputs', 'shortest', 'share', 'longest', 'share', 'slope over ln n', 'stay few'],
        rows: rows.map(({ on, slope: measuredSlope, ends: [first, last] }) => [
          on,
          first?.above.toFixed(1) ?? '',
          percent(first?.mass),
          last?.above.toFixed(1) ?? '',
          percent(last?.mass),
          formatEstimate(measuredSlope),
          doesNotRise(measuredSlope) ? 'yes' : 'no',
        ]),
      },
    ],
    figures: [
      {
        name: 'collapse',
        title: `Entries of a row above ${THRESHOLD}`,
        x: 'keys in the context, n',
        y: 'mean number of entries',
        yLinear: true,
        curves,
      },
    ],
  };
}

const percent = (share = 0): string => `${(100 * share).toFixed(0)} %`;

/** Mean over the sources, with the standard error over them, or over repetitions where there is one. */
function curvesOf(panel: string, name: string, sources: readonly Source[]): Curve[] {
  const [first] = sources;
  if (first === undefined) return [];
  const points = first.lengths.map((n, at) => {
    const parts =
      sources.length === 1
        ? first.repetitions.map((repetition) => repetition[at]?.above ?? 0)
        : sources.map((source) => meansOf(source)[at]?.above ?? 0);
    const { value, error } = estimateMean(parts);
    return { x: n, y: value, error };
  });
  return [{ panel, name, points }];
}
