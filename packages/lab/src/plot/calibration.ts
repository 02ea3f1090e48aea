/** The picture of `bench estimates`: the true error of every row against its estimate, one panel a reading. */
import * as Plot from '@observablehq/plot';
import type { EstimateResult } from '../bench/estimates/estimates.ts';
import { renderSvg } from './svg.ts';

/** Rows of a set that are drawn. */
const DRAWN_ROWS = 40;
/** Smaller errors are drawn at the edge. */
const RANGE: [number, number] = [1e-5, 10];

/** The plot as SVG text. */
export function plotCalibration(results: readonly EstimateResult[]): string {
  const inRange = (x: number) => Math.min(RANGE[1], Math.max(RANGE[0], x));
  const points = results.flatMap(({ set, reading, rows }) => {
    const estimated = rows.filter(({ estimate }) => estimate !== null);
    const step = Math.max(1, Math.floor(estimated.length / DRAWN_ROWS));
    return estimated
      .filter((_, i) => i % step === 0)
      .map(({ error, estimate }) => ({ set, reading, error: inRange(error), estimate: inRange(estimate as number) }));
  });
  const line = (factor: number) =>
    (['answer', 'prompt'] as const).flatMap((reading) =>
      RANGE.map((x) => ({ reading, estimate: x, error: inRange(x * factor) })),
    );
  return renderSvg({
    width: 960,
    height: 560,
    marginTop: 56,
    marginLeft: 64,
    marginBottom: 56,
    x: { type: 'log', domain: RANGE, label: 'estimated error →', tickFormat: '~g', grid: true },
    y: { type: 'log', domain: RANGE, label: '↑ true error, ‖o′ − o‖ / ‖o‖ in float64', tickFormat: '~g', grid: true },
    fx: { label: null },
    color: { scheme: 'turbo', legend: false },
    marks: [
      Plot.line(line(1), { fx: 'reading', x: 'estimate', y: 'error', stroke: '#888' }),
      Plot.line(line(2), { fx: 'reading', x: 'estimate', y: 'error', stroke: '#888', strokeDasharray: '4 4' }),
      Plot.dot(points, { fx: 'reading', x: 'estimate', y: 'error', fill: 'set', r: 2, fillOpacity: 0.7, title: 'set' }),
    ],
  });
}
