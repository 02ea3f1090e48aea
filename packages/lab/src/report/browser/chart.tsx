/** Charts of Observable Plot that fill the width of their place and follow the theme. */
import * as Plot from '@observablehq/plot';
import { signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';

const darkQuery = matchMedia('(prefers-color-scheme: dark)');

/** Whether the page is dark: charts that choose colours themselves look at it. */
export const dark = signal(darkQuery.matches);
darkQuery.addEventListener('change', ({ matches }) => {
  dark.value = matches;
});

export interface ChartProps {
  /** What a person who does not see the chart should know. */
  label: string;
  /** The plot for a place of `width` pixels. Colours that are `var(--blue)` and the like follow the theme. */
  plot(width: number): Plot.PlotOptions;
}

/** A chart, drawn again whenever its place or what it shows changes. */
export function Chart({ label, plot }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    observer.observe(place.current as HTMLDivElement);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (width === 0) return;
    const drawn = Plot.plot({
      width,
      marginBottom: 44,
      marginTop: 28,
      style: { background: 'none', fontSize: '12px' },
      ...plot(width),
    });
    drawn.setAttribute('role', 'img');
    drawn.setAttribute('aria-label', label);
    // Plot names groups of marks, which have no role that could have a name; the whole chart has one.
    for (const group of drawn.querySelectorAll('g[aria-label]')) group.removeAttribute('aria-label');
    place.current?.replaceChildren(drawn);
  });
  return <div class="chart" ref={place} />;
}
