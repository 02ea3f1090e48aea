/** Axes that the charts of reports have in common: lengths of context, and logarithmic numbers. */
import * as Plot from '@observablehq/plot';
import { formatLength } from '../../format/format.ts';
import { decadeTicks, octaveTicks } from '../../plot/ticks.ts';

/** Narrower than this, in pixels, a chart has fewer ticks. */
const NARROW = 460;

/** A logarithmic axis of tokens or keys, by powers of two, for a chart of `width` pixels. */
export const lengthAxis = (label: string, from: number, to: number, width: number): Plot.Markish =>
  Plot.axisX({ label, ticks: octaveTicks(from, to, width < NARROW ? 4 : 8), text: formatLength, tickSize: 4 });

/** A logarithmic axis with lines across the chart. */
export function logAxis(label: string, numbers: readonly number[], format: (value: number) => string): Plot.Markish[] {
  const ticks = decadeTicks(numbers);
  return [
    Plot.gridY({ ticks, strokeOpacity: 0.12 }),
    // As `text`, so that none of them is left out.
    Plot.axisY({ label, ticks, text: format, tickSize: 0 }),
  ];
}

/** What a tip looks like on this page. */
export const TIP = { fill: 'var(--surface)', stroke: 'var(--line)', fontSize: 12 } as const;
