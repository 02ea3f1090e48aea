/** Error against bytes, and against memory: the methods as colored points and lines, what they are compared with in grey. */
import * as Plot from '@observablehq/plot';
import { formatNumber } from '../../../format/format.ts';
import type { Point } from '../../../methods/method.ts';
import { decadeTicks } from '../../../plot/ticks.ts';
import type { MethodPageData, PageMethod } from '../../method-page-data.ts';
import { logAxis, TIP } from '../axes.ts';
import { Chart } from '../chart.tsx';
import { Card, Legend } from '../parts.tsx';

const COLORS = ['var(--blue)', 'var(--orange)', 'var(--green)', 'var(--pink)', 'var(--yellow)', 'var(--sky)'];
const UNITS = { bytes: 'bytes a key', memory: "keys' worth" } as const;

export interface CostPictureProps {
  axis: 'bytes' | 'memory';
  title: string;
  text: string;
  methods: readonly PageMethod[];
  capture: MethodPageData['captures'][number];
}

interface DrawnLine {
  name: string;
  color: string;
  /** Grey: what methods are compared with. */
  quiet: boolean;
  points: Point[];
}

export function CostPicture({ axis, title, text, methods, capture }: CostPictureProps) {
  const lines = linesOf(axis, methods, capture);
  const points = lines.flatMap((line) => line.points.map((point) => ({ ...point, ...line })));
  if (points.length === 0) return null;
  const costs = points.map(({ cost }) => cost);
  const ends = lines
    .filter(({ quiet }) => quiet)
    .flatMap((line) => line.points.slice(-1).map((point) => ({ ...line, ...point })));
  return (
    <Card title={title}>
      <p>{text}</p>
      <Legend entries={lines.filter(({ quiet }) => !quiet).map(({ name, color }) => ({ label: name, color }))} />
      <Chart
        label={`${title}: ${lines.map(({ name }) => name).join(', ')}`}
        plot={(width) => ({
          height: width < 460 ? 320 : 420,
          marginLeft: 52,
          marginRight: width < 460 ? 24 : 150,
          x: { type: 'log' },
          y: { type: 'log' },
          marks: [
            ...logAxis(
              'error of the output',
              points.map(({ error }) => error),
              (value) => formatNumber(value),
            ),
            Plot.axisX({
              label: `${UNITS[axis]} →`,
              ticks: decadeTicks(costs),
              text: (value: number) => formatNumber(value),
              tickSize: 4,
            }),
            ...lines.flatMap((line) => [
              Plot.line(line.points, {
                x: 'cost',
                y: 'error',
                stroke: line.color,
                strokeWidth: line.quiet ? 1.5 : 2.5,
                strokeOpacity: line.quiet ? 0.6 : 1,
              }),
              Plot.dot(line.points, { x: 'cost', y: 'error', fill: line.color, r: line.quiet ? 2.5 : 4 }),
            ]),
            ...(width < 460
              ? []
              : [
                  Plot.text(spread(ends), {
                    x: 'cost',
                    y: 'at',
                    text: 'name',
                    dx: 7,
                    textAnchor: 'start',
                    fill: 'var(--muted)',
                    fontSize: 11,
                    stroke: 'var(--surface)',
                    strokeWidth: 3,
                  }),
                ]),
            Plot.tip(
              points,
              Plot.pointer({
                x: 'cost',
                y: 'error',
                ...TIP,
                title: ({ name, cost, error }: (typeof points)[number]) =>
                  `${name}\n${formatNumber(cost)} ${UNITS[axis]}\nerror ${formatNumber(error)}`,
              }),
            ),
          ],
        })}
      />
    </Card>
  );
}

/** Methods in color first, then what they are compared with, each name once. */
function linesOf(
  axis: 'bytes' | 'memory',
  methods: readonly PageMethod[],
  capture: CostPictureProps['capture'],
): DrawnLine[] {
  const readings = methods.flatMap(({ readings: all }) =>
    all.filter((r) => r.captures === capture.file && r.axis === axis),
  );
  const lines = new Map<string, DrawnLine>();
  const add = (points: readonly Point[], quiet: boolean) => {
    for (const point of points) {
      const line = lines.get(point.name) ?? { name: point.name, color: '', quiet, points: [] };
      if (line.points.every(({ cost }) => cost !== point.cost)) line.points.push(point);
      lines.set(point.name, line);
    }
  };
  for (const { points } of readings) add(points, false);
  for (const { reference } of readings) add(reference?.points ?? [], true);
  if (axis === 'bytes') for (const { points } of capture.policies) add(points, true);
  for (const { others } of readings) add(others, true);
  let colored = 0;
  return [...lines.values()].map((line) => ({
    ...line,
    points: line.points.sort((a, b) => a.cost - b.cost),
    color: line.quiet ? 'var(--muted)' : (COLORS[colored++ % COLORS.length] as string),
  }));
}

/** Costs within this factor have names that could overlap. */
const NEAR = 1.7;
/** The least factor between the errors at which two such names stand. */
const APART = 1.13;

/** Names at the ends of lines, moved apart where they would overlap. */
function spread<T extends Point>(ends: readonly T[]): (T & { at: number })[] {
  const placed: (T & { at: number })[] = [];
  for (const end of [...ends].sort((a, b) => a.error - b.error)) {
    const near = placed.filter(({ cost }) => Math.abs(Math.log(cost / end.cost)) < Math.log(NEAR));
    placed.push({ ...end, at: Math.max(end.error, ...near.map(({ at }) => at * APART)) });
  }
  return placed;
}
