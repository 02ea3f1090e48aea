/** A card for a method: its claim, the planted test, a dot for each head, what came of it, and its place. */
import * as Plot from '@observablehq/plot';
import { formatNumber } from '../../../format/format.ts';
import type { Figure } from '../../../methods/method.ts';
import type { PageMethod, PageReading } from '../../method-page-data.ts';
import { TIP } from '../axes.ts';
import { Chart } from '../chart.tsx';
import { Card } from '../parts.tsx';

export function MethodCard({ method, file }: { method: PageMethod; file: string }) {
  const reading = method.readings.find(({ captures }) => captures === file);
  return (
    <Card title={method.name}>
      <p class="muted small">
        <cite>{method.title}</cite>, {method.authors}, arXiv {method.paper}
      </p>
      <p>{method.statement}</p>
      <p>
        <Verdict good={method.holds}>
          {method.holds ? 'Holds on planted data' : 'Does not hold on planted data'}
        </Verdict>
        : {describe(tightest(method.figures))}. With {method.failing.what}:{' '}
        <Verdict good={!method.failing.holds}>
          {method.failing.holds ? 'holds, and should not' : 'fails, as it must'}
        </Verdict>{' '}
        ({describe(tightest(method.failing.figures))}).
      </p>
      {reading !== undefined && (
        <>
          <Strip reading={reading} />
          <p>
            <strong>On real heads.</strong> {reading.verdict}
          </p>
          {reading.findings.map((finding) => (
            <p key={finding} class="small">
              {finding}
            </p>
          ))}
        </>
      )}
      <p>
        <strong>Place in the product:</strong> {method.place.what}
      </p>
    </Card>
  );
}

function Verdict({ good, children }: { good: boolean; children: string }) {
  return <strong style={{ color: good ? 'var(--good)' : 'var(--bad)' }}>{children}</strong>;
}

/** How near a figure is to its bound: 1 at it, above 1 beyond it. */
const strain = ({ value, bound }: Figure): number => {
  if (bound === undefined) return Number.NEGATIVE_INFINITY;
  const [a, b] = bound.relation === 'at most' ? [value, bound.value] : [bound.value, value];
  return b === 0 ? (a > 0 ? Number.POSITIVE_INFINITY : 0) : a / b;
};

/** The figure that is nearest to its bound, or furthest beyond it. */
const tightest = (figures: readonly Figure[]): Figure | undefined =>
  [...figures].sort((a, b) => strain(b) - strain(a))[0];

function describe(figure: Figure | undefined): string {
  if (figure === undefined) return '';
  const { name, value, bound } = figure;
  return bound === undefined
    ? `${name} ${formatNumber(value)}`
    : `${name} ${formatNumber(value)}, bound ${bound.relation} ${formatNumber(bound.value)}`;
}

/** One dot a query head. */
function Strip({ reading }: { reading: PageReading }) {
  const { quantity, heads } = reading.strip;
  const values = heads.map(({ value }) => value);
  const wide = Math.min(...values) > 0 && Math.max(...values) / Math.min(...values) > 30;
  return (
    <>
      <p class="small muted">Each query head: {quantity}</p>
      <Chart
        label={`${quantity}, for ${heads.length} heads`}
        plot={(width) => ({
          height: 64,
          marginTop: 12,
          marginBottom: 28,
          marginLeft: 16,
          marginRight: 16,
          x: { type: wide ? 'log' : 'linear', ...(wide ? {} : { zero: true }) },
          marks: [
            Plot.axisX({
              label: null,
              ticks: width < 460 ? 4 : 8,
              tickFormat: (value: number) => formatNumber(value),
              tickSize: 4,
            }),
            Plot.dotX(heads, { x: 'value', fill: 'var(--accent)', fillOpacity: 0.6, r: 5 }),
            Plot.tip(
              heads,
              Plot.pointerX({
                x: 'value',
                ...TIP,
                title: ({ head, value }: (typeof heads)[number]) => `${head}\n${formatNumber(value)}`,
              }),
            ),
          ],
        })}
      />
    </>
  );
}
