/** A claim of others: that a fixed number of keys is enough, however long the context. */

import { estimateMean, median } from '../numerics/statistics.ts';
import type { Curve } from '../plot/curves.ts';
import { type Claim, holdsForMostHeads, MIN_HEAD_SHARE, type Outcome, type Result, verdictOf } from './claim.ts';
import { headsByCapture } from './curves.ts';
import { neededExponent, neededKeys } from './needed-keys.ts';
import { SHARES } from './row.ts';
import { meansOf, type Source, type Study } from './source.ts';
import { MIN_STANDARD_ERRORS, trendOf } from './statistics.ts';

export const constantSupport: Claim = {
  name: 'constant-support',
  title: 'Is the number of keys that are needed constant in n?',
  statement:
    'The support of attention is constant in n: 352 keys keep a model of 135M parameters in agreement with dense attention for 99 % of tokens (zenodo 20582700). That is about whole predictions; what is tested here is the keys that a head needs for a share of its softmax.',
  criterion: `The keys that leave out at most a share of the softmax do not rise with n: their exponent is not above 0 by ${MIN_STANDARD_ERRORS} standard errors. Holds where that is so in at least ${MIN_HEAD_SHARE * 100} % of the heads.`,
  judge,
};

const constant = (source: Source, share: (typeof SHARES)[number]): boolean =>
  trendOf(neededExponent(source, share)) !== 'rises';

function judge({ gaussian, captures }: Study): Outcome {
  const inputs = gaussian.filter(({ name }) => name.endsWith('independent'));
  const nameOf = ({ name }: Source) => name.replace(/, values.*/, '');
  const ideal = inputs.flatMap((source) =>
    SHARES.map((share): Result => {
      const figures = { C: neededExponent(source, share) };
      return { on: nameOf(source), quantity: `keys for ${share}`, figures, holds: constant(source, share) };
    }),
  );
  const groups = headsByCapture(captures);
  const captured = groups.flatMap(({ label, heads }) =>
    SHARES.map((share): Result => {
      const exponents = heads.map((head) => neededExponent(head, share));
      const rising = exponents.filter((each) => trendOf(each) === 'rises').length;
      const meanAt = (at: number) =>
        estimateMean(heads.map((head) => neededKeys(share)(meansOf(head).at(at) as never))).value;
      const figures = {
        heads: heads.length,
        rising,
        median: median(exponents.map(({ value }) => value)),
        keys: { shortest: meanAt(0), longest: meanAt(-1) },
      };
      const holds = holdsForMostHeads(heads, (head) => constant(head, share));
      return { on: label, quantity: `keys for ${share}`, figures, holds };
    }),
  );
  const results = [...ideal, ...captured];
  const keys = (count: number) => Math.round(count).toLocaleString('en-US');
  const figuresOf = ({ figures }: Result) =>
    figures as { heads: number; rising: number; median: number; keys: { shortest: number; longest: number } };
  return {
    holds: verdictOf(results),
    findings: captured.map((result) => {
      const { heads, rising, median, keys: ends } = figuresOf(result);
      return `${result.on}, ${result.quantity} of the softmax left out: they rise in ${rising} of ${heads} heads, from ${keys(ends.shortest)} to ${keys(ends.longest)} on average; the median exponent is ${median.toFixed(2)}.`;
    }),
    results,
    tables: [
      {
        caption: 'Captured heads: keys needed, mean over heads, and exponent of their growth in the median head',
        columns: ['heads', 'left out at most', 'shortest', 'longest', 'median C', 'rising in', 'constant'],
        rows: captured.map((result) => {
          const { heads, rising, median, keys: ends } = figuresOf(result);
          return [
            result.on,
            result.quantity.replace('keys for ', ''),
            keys(ends.shortest),
            keys(ends.longest),
            median.toFixed(2),
            `${rising} of ${heads}`,
            result.holds ? 'yes' : 'no',
          ];
        }),
      },
    ],
    figures: [
      {
        name: 'constant-support',
        title: 'Mean keys that leave out at most 10 %, 5 % and 1 % of the softmax; the dotted line is 352',
        x: 'keys in the context, n',
        y: 'keys needed, mean over heads',
        rule: 352,
        curves: groups.flatMap(({ label, heads }) =>
          SHARES.map((share): Curve => {
            const points = (heads[0]?.lengths ?? []).map((n, at) => {
              const { value, error } = estimateMean(heads.map((head) => neededKeys(share)(meansOf(head)[at] as never)));
              return { x: n, y: value, error };
            });
            return { panel: label, name: `${share * 100} %`, points };
          }),
        ),
      },
    ],
  };
}
