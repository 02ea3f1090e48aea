/** What follows for the engine: keys and bytes at long contexts, and what the whole model needs for a divergence. */
import * as Plot from '@observablehq/plot';
import { formatBytes, formatCount, formatLength, formatNumber } from '../../../format/format.ts';
import type { LawPageData } from '../../law-page-data.ts';
import { lengthAxis, logAxis } from '../axes.ts';
import { Chart } from '../chart.tsx';
import { Card, Legend, Table } from '../parts.tsx';
import { exponent, percent } from '../text.ts';

export function Budgets({ data }: { data: LawPageData }) {
  const { predictions } = data.summary;
  const last = predictions.at(-1);
  const share = percent(data.headline.share);
  const title =
    last === undefined
      ? 'Predictions'
      : `At ${formatLength(last.n)} tokens the engine would read ${percent(last.bytes / last.denseBytes)} of what dense attention reads`;
  return (
    <Card title={title}>
      <p>
        Keys that leave at most {share} of the softmax unread, by the laws of the heads; the budget that the engine
        would give a head in the mean, where an estimate stands in for what it does not read; and the bytes that one
        token then reads from the cache, all heads and layers together.
      </p>
      <Table
        columns={[
          { name: 'context', number: true },
          { name: 'keys needed', number: true },
          { name: 'of the context', number: true },
          { name: 'budget, mean', number: true },
          { name: 'bytes a token', number: true },
          { name: 'dense', number: true },
          { name: '' },
        ]}
        rows={predictions.map(({ n, keys, share: of, budget, bytes, denseBytes, extrapolated }) => [
          formatLength(n),
          formatCount(keys),
          percent(of),
          formatCount(budget),
          formatBytes(bytes),
          formatBytes(denseBytes),
          extrapolated ? 'extrapolated' : 'measured',
        ])}
      />
      <WholeModel data={data} />
    </Card>
  );
}

function WholeModel({ data: { whole, lengths } }: { data: LawPageData }) {
  const points = whole.flatMap(({ kl, fixed, divided }) =>
    lengths.flatMap((n, i) => [
      { kl, n, name: 'the same for all heads', keys: fixed.keys[i] ?? Number.NaN },
      { kl, n, name: 'divided by the laws', keys: divided.keys[i] ?? Number.NaN },
    ]),
  );
  if (points.length === 0) return null;
  const kinds = [
    { name: 'the same for all heads', color: 'var(--orange)' },
    { name: 'divided by the laws', color: 'var(--blue)' },
  ];
  return (
    <>
      <h3>Keys that the whole model needs, for a divergence from dense attention</h3>
      <p>
        The same number of keys in every head, against keys divided over the heads by their laws. The divergence is that
        of Kullback and Leibler, between the predictions of the next token, in nats; 0 means that they are the same.
      </p>
      <Legend entries={kinds.map(({ name, color }) => ({ label: name, color }))} />
      <div class="columns">
        {whole.map(({ kl, fixed, divided }) => (
          <div key={kl}>
            <h3 class="small">
              KL {formatNumber(kl)}: n^{exponent(fixed.C)} for all alike, n^{exponent(divided.C)} divided
            </h3>
            <Chart
              label={`Mean keys a head for a divergence of ${kl} nats, against the tokens of context`}
              plot={(width) => ({
                height: 230,
                marginLeft: 52,
                marginRight: 12,
                x: { type: 'log' },
                y: { type: 'log' },
                marks: [
                  lengthAxis('tokens of context, n', lengths[0] ?? 1, lengths.at(-1) ?? 1, width),
                  ...logAxis(
                    'mean keys a head',
                    points.filter((point) => point.kl === kl).map(({ keys }) => keys),
                    formatCount,
                  ),
                  ...kinds.map(({ name, color }) =>
                    Plot.lineY(
                      points.filter((point) => point.kl === kl && point.name === name),
                      { x: 'n', y: 'keys', stroke: color, strokeWidth: 2, marker: 'dot' },
                    ),
                  ),
                ],
              })}
            />
          </div>
        ))}
      </div>
    </>
  );
}
