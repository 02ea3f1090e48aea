/** A claim of others: that the entropy of attention grows as .31 log n. */

import { type Estimate, estimateMean } from '../numerics/statistics.ts';
import type { Curve } from '../plot/curves.ts';
import { type Claim, holdsForMostHeads, MIN_HEAD_SHARE, type Outcome, type Result, verdictOf } from './claim.ts';
import { headsByCapture } from './curves.ts';
import { meansOf, type Source, type Study } from './source.ts';
import { formatEstimate, MIN_STANDARD_ERRORS, slopeOf } from './statistics.ts';

/** The slope that is claimed, and how near to it a head must be. */
const SLOPE = 0.31;
const TOLERANCE = 0.1;

export const entropyGrowth: Claim = {
  name: 'entropy',
  title: `Does the entropy grow as ${SLOPE} log n?`,
  statement: `The entropy of attention is alpha log n + beta with alpha about ${SLOPE}, so that the support, e to the entropy, grows as n^${SLOPE} (Seqev/qaxis-exact-scaling).`,
  criterion: `On captures: the mean over heads of the slope of the entropy over ln n is within ${MIN_STANDARD_ERRORS} standard errors of ${SLOPE}, and at least ${MIN_HEAD_SHARE * 100} % of the heads are within ${TOLERANCE} of it. On Gaussian inputs: the slope is within ${MIN_STANDARD_ERRORS} standard errors of ${SLOPE}.`,
  judge,
};

const slope = (source: Source): Estimate => slopeOf(source, ({ entropy }) => entropy);
const isNear = ({ value, error }: Estimate): boolean => Math.abs(value - SLOPE) <= MIN_STANDARD_ERRORS * error;

function judge({ gaussian, captures }: Study): Outcome {
  const inputs = gaussian.filter(({ name }) => name.endsWith('independent'));
  const nameOf = ({ name }: Source) => name.replace(/, values.*/, '');
  const ideal = inputs.map((source): Result => {
    const measuredSlope = slope(source);
    return { on: nameOf(source), quantity: 'entropy', figures: { slope: measuredSlope }, holds: isNear(measuredSlope) };
  });
  const groups = headsByCapture(captures);
  const captured = groups.map(({ label, heads }): Result => {
    const slopes = heads.map((head) => slope(head).value);
    const meanSlope = estimateMean(slopes);
    const figures = {
      heads: heads.length,
      slope: meanSlope,
      min: Math.min(...slopes),
      max: Math.max(...slopes),
      near: slopes.filter((value) => Math.abs(value - SLOPE) <= TOLERANCE).length,
    };
    const holds = isNear(meanSlope) && holdsForMostHeads(slopes, (value) => Math.abs(value - SLOPE) <= TOLERANCE);
    return { on: label, quantity: 'entropy', figures, holds };
  });
  const results = [...ideal, ...captured];
  const signed = (x: number) => x.toFixed(2).replace('-', '−');
  return {
    holds: verdictOf(results),
    findings: [
      ...ideal.map(
        ({ on, figures }) =>
          `Gaussian inputs, ${on}: the slope is ${formatEstimate(figures.slope as Estimate)}; with infinitely many keys it would be 1, for the entropy is ln n − spread² / 2.`,
      ),
      ...captured.map(({ on, figures }) => {
        const captureFigures = figures as { heads: number; slope: Estimate; min: number; max: number; near: number };
        return `${on}: the mean slope is ${formatEstimate(captureFigures.slope)}; heads range from ${signed(captureFigures.min)} to ${signed(captureFigures.max)}, and ${captureFigures.near} of ${captureFigures.heads} are within ${TOLERANCE} of ${SLOPE}.`;
      }),
    ],
    results,
    tables: [],
    figures: [
      {
        name: 'entropy',
        title: `Entropy of attention; the dashed line has the slope ${SLOPE}`,
        x: 'keys in the context, n',
        y: 'entropy, nats',
        yLinear: true,
        curves: [
          ...groups.flatMap(({ label, heads }): Curve[] => {
            const lengths = heads[0]?.lengths ?? [];
            const means = lengths.map((n, at) => ({
              x: n,
              y: estimateMean(heads.map((head) => meansOf(head)[at]?.entropy ?? 0)).value,
            }));
            const [first] = means;
            return [
              ...heads.map((head): Curve => {
                const points = meansOf(head).map(({ n, entropy }) => ({ x: n, y: entropy }));
                return { panel: label, name: head.name, style: 'thin', color: 5, points };
              }),
              { panel: label, name: 'mean', color: 0, points: means },
              {
                panel: label,
                name: `${SLOPE} ln n`,
                style: 'theory',
                color: 1,
                points: means.map(({ x }) => ({ x, y: (first?.y ?? 0) + SLOPE * Math.log(x / (first?.x ?? 1)) })),
              },
            ];
          }),
          ...inputs.map((source): Curve => {
            const points = meansOf(source).map(({ n, entropy }) => ({ x: n, y: entropy }));
            return { panel: 'Gaussian inputs', name: nameOf(source), points };
          }),
        ],
      },
    ],
  };
}
