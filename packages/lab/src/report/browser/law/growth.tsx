/** How the keys of the mean head grow with the context, beside those that dense attention reads. */
import * as Plot from '@observablehq/plot';
import { formatCount } from '../../../format/format.ts';
import type { LawPageData } from '../../law-page-data.ts';
import { lengthAxis, logAxis, TIP } from '../axes.ts';
import { Chart } from '../chart.tsx';
import { Card, Legend } from '../parts.tsx';
import { percent } from '../text.ts';
import { Choices } from './choices.tsx';
import { CRITERION_NAMES, state } from './state.ts';

const CRITERIA = ['mass', 'errorWithoutTail', 'errorWithTail'] as const;
const COLORS = { mass: 'var(--blue)', errorWithoutTail: 'var(--orange)', errorWithTail: 'var(--green)' } as const;

export function Growth({ data }: { data: LawPageData }) {
  const { lengths, summary } = data;
  const { criterion, share } = state.value;
  const lawsAt = summary.laws.filter((law) => law.share === share);
  const selectedLaw = lawsAt.find((law) => law.criterion === criterion);
  const [first, last] = [selectedLaw?.keys[0] ?? 1, selectedLaw?.keys.at(-1) ?? 1];
  const [from, to] = [lengths[0] ?? 1, lengths.at(-1) ?? 1];
  const points = lawsAt.flatMap((law) =>
    law.keys.map((keys, i) => ({
      criterion: law.criterion,
      n: lengths[i] ?? 0,
      keys,
      name: CRITERION_NAMES[law.criterion],
    })),
  );
  const title = `${(to / from).toFixed(0)} times the context needs ${(last / first).toFixed(1)} times the keys`;
  return (
    <Card title={title}>
      <p>
        Mean over all heads, from {formatCount(from)} to {formatCount(to)} tokens. The three lines are three different
        questions: how many keys hold all but {percent(share)} of the softmax; how many give the head's output to within{' '}
        {percent(share)} when the others are dropped; and how many when an estimate stands in for the others.
      </p>
      <Choices data={data} name="growth" />
      <Legend
        entries={[
          ...CRITERIA.map((each) => ({ label: CRITERION_NAMES[each], color: COLORS[each] })),
          { label: 'dense: every key', color: 'var(--muted)', shape: 'dashed' as const },
        ]}
      />
      <Chart
        label={title}
        plot={(width) => ({
          height: width < 500 ? 280 : 340,
          marginLeft: 52,
          marginRight: 16,
          x: { type: 'log' },
          y: { type: 'log' },
          marks: [
            lengthAxis('tokens of context, n', from, to, width),
            ...logAxis('keys needed by the mean head', [...points.map(({ keys }) => keys), to], formatCount),
            Plot.line([from, to], {
              x: (n: number) => n,
              y: (n: number) => n,
              stroke: 'var(--muted)',
              strokeDasharray: '5,4',
            }),
            ...CRITERIA.map((each) =>
              Plot.lineY(
                points.filter((point) => point.criterion === each),
                {
                  x: 'n',
                  y: 'keys',
                  stroke: COLORS[each],
                  marker: 'dot',
                  strokeWidth: each === criterion ? 3 : 1.5,
                },
              ),
            ),
            Plot.tip(
              points,
              Plot.pointer({
                x: 'n',
                y: 'keys',
                ...TIP,
                title: ({ name, n, keys }: (typeof points)[number]) =>
                  `${name}\n${formatCount(keys)} keys of ${formatCount(n)} (${percent(keys / n)})`,
              }),
            ),
          ],
        })}
      />
    </Card>
  );
}
