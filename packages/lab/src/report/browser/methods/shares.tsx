/** Certified against true share of the softmax that eviction lost, a dot for each head and bound. */
import * as Plot from '@observablehq/plot';
import { formatNumber } from '../../../format/format.ts';
import type { PageMethod } from '../../method-page-data.ts';
import { TIP } from '../axes.ts';
import { Chart } from '../chart.tsx';
import { Card, Legend } from '../parts.tsx';

const COLORS = ['var(--muted)', 'var(--yellow)', 'var(--orange)', 'var(--green)', 'var(--blue)'];
/** Room for dots on the edge of the plot. */
const EDGE = 0.03;
const TICKS = [0, 0.25, 0.5, 0.75, 1];
const formatTick = (share: number) => formatNumber(share);

export function SharesPicture({ methods, file }: { methods: readonly PageMethod[]; file: string }) {
  const shares = methods.flatMap(({ readings }) =>
    readings.filter(({ captures }) => captures === file).flatMap((r) => r.shares),
  );
  const names = [...new Set(shares.map(({ name }) => name))];
  if (shares.length === 0) return null;
  const colorOf = (name: string) => COLORS[names.indexOf(name) % COLORS.length] as string;
  return (
    <Card title="Certified against true share of the softmax that is gone">
      <p>
        SnapKV evicts, and each bound says how much of the softmax the evicted keys had. On the diagonal a bound tells
        the truth. Norms, balls and the hull bound the share from above, Jensen's inequality from below; clusters with
        moments estimate it.
      </p>
      <Legend entries={names.map((name) => ({ label: name, color: colorOf(name), shape: 'block' as const }))} />
      <Chart
        label={`Certified against true evicted share, by ${names.join(', ')}`}
        plot={(width) => ({
          height: Math.min(460, width),
          marginLeft: 52,
          x: { label: 'true share →', domain: [-EDGE, 1 + EDGE], ticks: TICKS, tickFormat: formatTick },
          y: {
            label: '↑ certified or estimated share',
            domain: [-EDGE, 1 + EDGE],
            ticks: TICKS,
            tickFormat: formatTick,
            grid: true,
          },
          marks: [
            Plot.line(
              [
                [0, 0],
                [1, 1],
              ],
              { stroke: 'var(--ink)', strokeDasharray: '5,4', strokeOpacity: 0.6 },
            ),
            Plot.dot(shares, {
              x: 'actual',
              y: 'certified',
              fill: ({ name }: (typeof shares)[number]) => colorOf(name),
              r: 4,
              fillOpacity: 0.85,
            }),
            Plot.tip(
              shares,
              Plot.pointer({
                x: 'actual',
                y: 'certified',
                ...TIP,
                title: ({ name, actual, certified }: (typeof shares)[number]) =>
                  `${name}\ntrue share ${formatNumber(actual)}\nsays ${formatNumber(certified)}`,
              }),
            ),
          ],
        })}
      />
    </Card>
  );
}
