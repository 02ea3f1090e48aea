/** The picture of `bench attention`: what each policy reads and how far it is off, one line a policy. */
import * as Plot from '@observablehq/plot';
import type { PolicyResult, QuantizedResult } from '../bench/attention.ts';
import { renderSvg } from './svg.ts';

interface Point {
  name: string;
  budget: string;
  bytes: number;
  error: number;
}

/** The plot as SVG text. */
export function plotErrorAgainstBytes(
  results: readonly PolicyResult[],
  caches: readonly QuantizedResult[],
  what: string,
): string {
  const points = results
    .filter(({ budget }) => budget !== null)
    .map(({ policy, budget, summary }): Point => {
      const keys = (budget ?? '').replace('fixed:', '');
      return { name: policy, budget: keys, bytes: summary.bytesPerKey, error: summary.outputError.mean };
    });
  const names = [...new Set(points.map(({ name }) => name))];
  const first = names.map((name) => points.find((point) => point.name === name) as Point);
  const cachePoints = caches.map(({ name, bytesPerKey, outputError }) => ({
    name,
    bytes: bytesPerKey,
    error: outputError,
  }));
  return renderSvg({
    width: 860,
    height: 540,
    marginTop: 56,
    marginLeft: 64,
    marginRight: 60,
    marginBottom: 56,
    x: { type: 'log', label: 'bytes read for each key of the context →', tickFormat: '~r', grid: true },
    y: { type: 'log', label: `↑ error of the output, ‖o′ − o‖ / ‖o‖, mean over ${what}`, tickFormat: '~p', grid: true },
    color: { domain: names, scheme: 'Observable10' },
    marks: [
      Plot.line(points, { x: 'bytes', y: 'error', stroke: 'name', strokeWidth: 2 }),
      Plot.dot(points, { x: 'bytes', y: 'error', fill: 'name', r: 3.5 }),
      Plot.text(points, {
        x: 'bytes',
        y: 'error',
        text: 'budget',
        dx: 7,
        dy: -6,
        fontSize: 10,
        fill: '#666',
        textAnchor: 'start',
      }),
      Plot.text(first, {
        x: 'bytes',
        y: 'error',
        text: 'name',
        fill: 'name',
        dy: -24,
        fontWeight: 600,
        stroke: '#fff',
        strokeWidth: 4,
      }),
      Plot.dot(cachePoints, { x: 'bytes', y: 'error', symbol: 'square', fill: '#222', r: 4 }),
      Plot.text(cachePoints, {
        x: 'bytes',
        y: 'error',
        text: 'name',
        dx: 8,
        textAnchor: 'start',
        fill: '#222',
        stroke: '#fff',
        strokeWidth: 4,
      }),
    ],
  });
}
