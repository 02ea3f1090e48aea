/** The trade: divergence against what is read, and against time, a line a policy. */
import * as Plot from '@observablehq/plot';
import { formatNumber } from '../../../format/format.ts';
import { decadeTicks } from '../../../plot/ticks.ts';
import type { PagePolicy } from '../../eval-page-data.ts';
import { logAxis, TIP } from '../axes.ts';
import { Chart } from '../chart.tsx';
import { Card, Choice, Legend } from '../parts.tsx';
import {
  choose,
  isSame,
  nameOf,
  type PageText,
  type Series,
  seriesName,
  seriesOf,
  state,
  suggestionOf,
} from './state.ts';

const LIMITS = [0.001, 0.003, 0.01, 0.03, 0.1];
/** KL below which nothing can be told from rounding: what is smaller is drawn here. */
const MIN_KL = 1e-6;

type Cost = 'bytes' | 'time';
const COSTS = {
  bytes: {
    label: 'bytes read for each key of the context →',
    of: ({ bytesPerKey }: Costly) => bytesPerKey,
    unit: 'bytes a key',
  },
  time: {
    label: 'milliseconds a token →',
    of: ({ msPerToken }: Costly) => msPerToken ?? Number.NaN,
    unit: 'ms a token',
  },
} as const;
type Costly = Pick<PagePolicy, 'bytesPerKey' | 'msPerToken'>;

export function Pareto({ text }: { text: PageText }) {
  const { target } = state.value;
  const { setting } = suggestionOf(text);
  const series = seriesOf(text);
  const limits = [...new Set([...LIMITS, target.kl])].sort((a, b) => a - b);
  const title =
    setting === null
      ? `None of these settings holds a KL of ${formatNumber(target.kl)}`
      : `${nameOf(setting)} is the cheapest that holds a KL of ${formatNumber(target.kl)}`;
  return (
    <Card title={title}>
      <p>
        Every dot is a setting, with the interval of its KL; lines join the budgets of a policy. Down and to the left is
        better. Settings whose whole interval is below the dashed line hold; the cheapest of them has a ring.
      </p>
      <div class="choice-row">
        <Choice
          label="KL at most"
          name="limit"
          options={limits.map((limit) => ({ value: String(limit), label: formatNumber(limit) }))}
          value={String(target.kl)}
          onChange={(kl) => choose({ target: { ...target, kl: Number(kl) } })}
        />
        {text.times && (
          <Choice
            label="cheapest by"
            name="cost"
            options={[
              { value: 'bytes', label: 'bytes' },
              { value: 'time', label: 'time' },
            ]}
            value={target.by}
            onChange={(by) => choose({ target: { ...target, by } })}
          />
        )}
      </div>
      <Legend
        entries={[
          ...series.map(({ name, color, dashed }) => ({
            label: name,
            color,
            shape: dashed ? ('dashed' as const) : ('line' as const),
          })),
          { label: 'dense', color: 'var(--muted)', shape: 'dashed' as const },
        ]}
      />
      <div class="columns">
        <TradeOffChart text={text} series={series} cost="bytes" />
        {text.times && <TradeOffChart text={text} series={series} cost="time" />}
      </div>
    </Card>
  );
}

function TradeOffChart({ text, series, cost }: { text: PageText; series: readonly Series[]; cost: Cost }) {
  const { target } = state.value;
  const { setting } = suggestionOf(text);
  const { label, of, unit } = COSTS[cost];
  const settings = text.policies.filter(({ budget }) => budget !== null);
  const points = settings.map((policy) => ({
    x: of(policy),
    kl: Math.max(MIN_KL, policy.kl.mean),
    name: nameOf(policy),
    series: seriesName(policy),
    low: Math.max(MIN_KL, policy.kl.interval[0]),
    high: Math.max(MIN_KL, policy.kl.interval[1]),
    policy,
  }));
  const marked = points.filter(({ policy }) => isSame(policy, setting));
  const dense = of(text.dense);
  const xs = [...points.map(({ x }) => x), dense];
  const byColor = series.map((each) => ({ ...each, points: points.filter((point) => point.series === each.name) }));
  return (
    <div>
      <h3 class="small">KL against {cost === 'bytes' ? 'what is read' : 'measured time'}</h3>
      <Chart
        label={`KL divergence from dense attention against ${unit}, for ${settings.length} settings`}
        plot={(width) => ({
          height: width < 460 ? 300 : 340,
          marginLeft: 52,
          marginRight: 20,
          x: cost === 'bytes' ? { type: 'log' } : { type: 'linear', domain: [0, 1.05 * Math.max(...xs)] },
          y: { type: 'log' },
          marks: [
            ...logAxis('KL, nats', [...points.flatMap(({ low, high }) => [low, high]), target.kl], (kl) =>
              formatNumber(kl),
            ),
            cost === 'bytes'
              ? Plot.axisX({ label, ticks: decadeTicks(xs), text: (x: number) => formatNumber(x), tickSize: 4 })
              : Plot.axisX({ label, ticks: width < 460 ? 4 : 7, tickSize: 4 }),
            Plot.ruleX([dense], { stroke: 'var(--muted)', strokeDasharray: '5,4' }),
            Plot.text([dense], {
              x: (x: number) => x,
              frameAnchor: 'top',
              text: () => 'dense',
              dy: -10,
              fill: 'var(--muted)',
            }),
            Plot.ruleY([target.kl], { stroke: 'var(--ink)', strokeDasharray: '6,4', strokeOpacity: 0.7 }),
            ...byColor.flatMap(({ color, dashed, points: seriesPoints }) => [
              Plot.ruleX(seriesPoints, {
                x: 'x',
                y1: 'low',
                y2: 'high',
                stroke: color,
                strokeWidth: 1.5,
                strokeOpacity: 0.45,
              }),
              Plot.line(seriesPoints, {
                x: 'x',
                y: 'kl',
                stroke: color,
                strokeWidth: 2,
                ...(dashed && { strokeDasharray: '5,3' }),
              }),
              Plot.dot(seriesPoints, { x: 'x', y: 'kl', fill: color, r: 3.5 }),
            ]),
            Plot.dot(marked, { x: 'x', y: 'kl', r: 9, stroke: 'var(--ink)', strokeWidth: 2.5 }),
            Plot.text(marked, {
              x: 'x',
              y: 'kl',
              text: 'name',
              dy: 20,
              fontWeight: 600,
              fill: 'var(--ink)',
              stroke: 'var(--surface)',
              strokeWidth: 4,
              textAnchor: 'middle',
            }),
            Plot.tip(
              points,
              Plot.pointer({
                x: 'x',
                y: 'kl',
                ...TIP,
                title: ({ name, policy }: (typeof points)[number]) =>
                  `${name}\nKL ${formatNumber(policy.kl.mean)} (${formatNumber(policy.kl.interval[0])} to ${formatNumber(policy.kl.interval[1])})\n${formatNumber(of(policy))} ${unit}`,
              }),
            ),
          ],
        })}
      />
    </div>
  );
}
