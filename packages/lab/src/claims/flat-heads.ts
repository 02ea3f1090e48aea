/** Where the first claim fails on a model: heads whose keys grow as fast as the context, or are a large part of it. */
import { gaussianKeys } from '../numerics/gaussian.ts';
import { type Estimate, median } from '../numerics/statistics.ts';
import type { Curve } from '../plot/curves.ts';
import { type Claim, holdsForMostHeads, MIN_HEAD_SHARE, type Outcome, type Result, verdictOf } from './claim.ts';
import { headsByCapture } from './curves.ts';
import { neededExponent, neededKeys } from './needed-keys.ts';
import { meansOf, type Source, type Study } from './source.ts';
import { formatEstimate, MIN_STANDARD_ERRORS } from './statistics.ts';

/** Share of the softmax that may be left out, and share of the context above which a head is flat. */
const SHARE = 0.1;
const FLAT = 0.1;

export const flatHeads: Claim = {
  name: 'flat-heads',
  title: 'Is every head n^C-sparse with C below 1?',
  statement:
    'Attention is sparse by nature, in every row: a number of keys that grows more slowly than the context is enough in each head.',
  criterion: `The keys that leave out at most ${SHARE * 100} % of the softmax grow with an exponent below 1 by ${MIN_STANDARD_ERRORS} standard errors, and at the longest context they are less than ${FLAT * 100} % of it. Holds where both are so in at least ${MIN_HEAD_SHARE * 100} % of the heads.`,
  judge,
};

interface HeadFigures {
  name: string;
  C: Estimate;
  /** At the longest context. */
  keys: number;
  share: number;
  spread: number;
  /** Keys that Gaussian scores of this spread would need. */
  gaussian: number;
  /** Whether C is below 1 for certain, and whether the keys are a large part of the context. */
  below: boolean;
  flat: boolean;
  sparse: boolean;
}

function headFigures(source: Source): HeadFigures {
  const C = neededExponent(source, SHARE);
  const last = meansOf(source).at(-1);
  const [n, spread] = [last?.n ?? 1, last?.spread ?? 0];
  const keys = last === undefined ? 0 : neededKeys(SHARE)(last);
  const [below, flat] = [C.value + MIN_STANDARD_ERRORS * C.error < 1, keys >= FLAT * n];
  const gaussian = gaussianKeys(n, spread, SHARE);
  return { name: source.name, C, keys, share: keys / n, spread, gaussian, below, flat, sparse: below && !flat };
}

function judge({ gaussian, captures }: Study): Outcome {
  const inputs = gaussian.filter(({ name }) => name.endsWith('independent'));
  const ideal = inputs.map((source): Result => {
    const figures = headFigures(source);
    const on = source.name.replace(/, values.*/, '');
    return { on, quantity: 'keys needed', figures: { ...figures, name: on }, holds: figures.sparse };
  });
  const groups = headsByCapture(captures).map(({ label, heads }) => ({
    label,
    heads: heads.map(headFigures),
    sources: heads,
  }));
  const captured = groups.map(({ label, heads }): Result => {
    const otherHeads = heads.filter((head) => !head.sparse).map(({ name }) => name);
    return {
      on: label,
      quantity: 'keys needed',
      figures: { others: otherHeads, heads },
      holds: holdsForMostHeads(heads, ({ sparse }) => sparse),
    };
  });
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  return {
    holds: verdictOf([...ideal, ...captured]),
    findings: [
      ...ideal.map(({ on, figures, holds }) => {
        const { C, share } = figures as unknown as HeadFigures;
        return `Gaussian inputs, ${on}: C is ${formatEstimate(C)}, and ${percent(share)} of the longest context are needed: ${holds ? 'sparse' : 'not sparse'}.`;
      }),
      ...groups.map(({ label, heads }) => {
        const flat = heads.filter((head) => head.flat).length;
        const unclear = heads.filter(({ below }) => !below).length;
        const misjudged = median(heads.map(({ keys, gaussian: predicted }) => predicted / keys));
        return `${label}: ${flat} need ${FLAT * 100} % of the context or more, and the exponent of ${unclear} is not below 1 for certain; C is ${median(heads.map(({ C }) => C.value)).toFixed(2)} in the median head. Gaussian scores of the same spread would need ${misjudged.toPrecision(2)} times the keys of the median head.`;
      }),
    ],
    results: [...ideal, ...captured],
    tables: groups.map(({ label, heads }) => ({
      caption: `${label}: keys that leave out at most ${SHARE * 100} % of the softmax, at the longest context`,
      columns: ['head', 'C', 'C below 1', 'keys', 'of the context', 'spread', 'keys if Gaussian'],
      rows: heads.map(({ name, C, keys, share, spread, gaussian: predicted, below }) => [
        name.replace(/, .*/, ''),
        formatEstimate(C),
        below ? 'yes' : 'not for certain',
        Math.round(keys).toLocaleString('en-US'),
        percent(share),
        spread.toFixed(2),
        Math.round(predicted).toLocaleString('en-US'),
      ]),
    })),
    figures: [
      {
        name: 'flat-heads',
        title: `Keys that leave out at most ${SHARE * 100} % of the softmax: one line a head, in orange where the claim does not hold`,
        x: 'keys in the context, n',
        y: 'keys needed',
        curves: [
          ...groups.flatMap(({ label, heads, sources }) =>
            sources.map((source, i): Curve => {
              const points = meansOf(source).map((each) => ({ x: each.n, y: neededKeys(SHARE)(each) }));
              return { panel: label, name: source.name, style: 'thin', color: heads[i]?.sparse ? 0 : 1, points };
            }),
          ),
          ...groups.map(({ label, sources }): Curve => {
            const points = (sources[0]?.lengths ?? []).map((n) => ({ x: n, y: FLAT * n }));
            return { panel: label, name: `n / ${1 / FLAT}`, style: 'theory', color: 5, points };
          }),
          ...inputs.map((source): Curve => {
            const points = meansOf(source).map((each) => ({ x: each.n, y: neededKeys(SHARE)(each) }));
            return { panel: 'Gaussian inputs', name: source.name.replace(/, values.*/, ''), points };
          }),
        ],
      },
    ],
  };
}
