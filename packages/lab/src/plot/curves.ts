/** Pictures of curves in panels, with error bars and the names of the curves at their ends. */
import * as Plot from '@observablehq/plot';
import { formatLength } from '../format/format.ts';
import { renderSvg } from './svg.ts';
import { decadeTicks, octaveTicks } from './ticks.ts';

export interface CurvePoint {
  x: number;
  y: number;
  /** Standard error of y. */
  error?: number;
}

export interface Curve {
  panel: string;
  name: string;
  /** `theory` is dashed, `thin` one of many without a name of its own. */
  style?: 'measured' | 'theory' | 'thin';
  /** Which of the colours; curves of the same name have the same one. */
  color?: number;
  points: CurvePoint[];
}

export interface CurvesFigure {
  /** In kebab case: names the file. */
  name: string;
  /** What is to be seen in it. */
  title: string;
  x: string;
  y: string;
  /** Not given: logarithmic. */
  yLinear?: boolean;
  /** A line across all panels. */
  rule?: number;
  curves: Curve[];
}

const COLORS = ['#0072b2', '#d55e00', '#00805c', '#b8458b', '#9a7400', '#5b6675'];
const PANEL = { width: 400, height: 300, columns: 2, left: 64, top: 58, right: 70 };

interface Drawn extends CurvePoint {
  curve: number;
  name: string;
  fx: number;
  fy: number;
  stroke: string;
}

/** The picture as SVG text. */
export function plotCurves({ x, y, yLinear = false, rule, curves }: CurvesFigure): string {
  const panels = [...new Set(curves.map(({ panel }) => panel))];
  const columns = Math.min(PANEL.columns, panels.length);
  const rows = Math.ceil(panels.length / columns);
  const place = (panel: string) => ({
    fx: panels.indexOf(panel) % columns,
    fy: Math.floor(panels.indexOf(panel) / columns),
  });
  const first = panels.filter((panel) => place(panel).fx === 0);
  const names = [...new Set(curves.filter(({ style }) => style !== 'thin').map(({ name }) => name))];
  const drawn = curves.map(({ panel, name, points, color }, curve): Drawn[] =>
    points.map((point) => ({
      ...point,
      ...place(panel),
      curve,
      name,
      stroke: COLORS[(color ?? Math.max(0, names.indexOf(name))) % COLORS.length] as string,
    })),
  );
  const withStyle = (style: Curve['style']) =>
    drawn.filter((_, i) => (curves[i]?.style ?? 'measured') === style).flat();
  const facets = { fx: 'fx', fy: 'fy' } as const;
  const measured = withStyle('measured');
  const bars = measured.filter(({ error }) => error !== undefined);
  const allPoints = drawn.flat();
  const [from, to] = [Math.min(...allPoints.map(({ x }) => x)), Math.max(...allPoints.map(({ x }) => x))];
  const yAxis = yLinear ? {} : { ticks: decadeTicks(allPoints.map(({ y }) => y)) };
  return renderSvg({
    width: PANEL.left + columns * PANEL.width + PANEL.right,
    height: PANEL.top + rows * PANEL.height,
    marginLeft: PANEL.left,
    marginTop: PANEL.top,
    marginBottom: 48,
    marginRight: PANEL.right,
    fx: { axis: null, padding: columns > 1 ? 0.24 : 0 },
    fy: { axis: null, padding: rows > 1 ? 0.3 : 0 },
    x: { type: 'log', base: 2, label: null },
    y: { type: yLinear ? 'linear' : 'log', label: null },
    marks: [
      Plot.gridY({ ...yAxis, stroke: '#ddd', strokeOpacity: 1 }),
      Plot.axisY({ ...yAxis, ...(yLinear ? {} : { text: decimal }), tickSize: 0 }),
      Plot.axisX({ ticks: octaveTicks(from, to), text: formatLength, facetAnchor: null }),
      ...(rule === undefined ? [] : [Plot.ruleY([rule], { stroke: '#888', strokeDasharray: '2,3' })]),
      Plot.line(withStyle('thin'), {
        x: 'x',
        y: 'y',
        z: 'curve',
        stroke: 'stroke',
        ...facets,
        strokeWidth: 1,
        strokeOpacity: 0.55,
      }),
      Plot.line(withStyle('theory'), {
        x: 'x',
        y: 'y',
        z: 'curve',
        stroke: 'stroke',
        ...facets,
        strokeWidth: 1.5,
        strokeDasharray: '5,4',
      }),
      Plot.line(measured, { x: 'x', y: 'y', z: 'curve', stroke: 'stroke', strokeWidth: 2, ...facets }),
      Plot.ruleX(bars, {
        x: 'x',
        stroke: 'stroke',
        ...facets,
        y1: ({ y: value, error = 0 }: Drawn) => value - error,
        y2: ({ y: value, error = 0 }: Drawn) => value + error,
      }),
      Plot.dot(measured, { x: 'x', y: 'y', fill: 'stroke', r: 2.6, ...facets }),
      Plot.text(
        endLabels(
          drawn.filter((_, i) => curves[i]?.style !== 'thin'),
          yLinear,
        ),
        {
          x: 'x',
          y: 'at',
          text: 'name',
          fill: 'stroke',
          ...facets,
          dx: 7,
          textAnchor: 'start',
          fontSize: 11,
          stroke: '#fff',
          strokeWidth: 3,
        },
      ),
      Plot.text(panels, {
        fx: (panel: string) => place(panel).fx,
        fy: (panel: string) => place(panel).fy,
        frameAnchor: 'top-left',
        text: (panel: string) => panel,
        dy: -24,
        fontWeight: 600,
        fontSize: 13,
      }),
      Plot.text(first, {
        fx: (panel: string) => place(panel).fx,
        fy: (panel: string) => place(panel).fy,
        frameAnchor: 'top-left',
        text: () => `↑ ${y}`,
        dx: -46,
        dy: -9,
        fill: '#555',
        fontSize: 11,
      }),
      Plot.text(panels, {
        fx: (panel: string) => place(panel).fx,
        fy: (panel: string) => place(panel).fy,
        frameAnchor: 'bottom-right',
        text: () => `${x} →`,
        dy: 36,
        fill: '#555',
        fontSize: 11,
      }),
    ],
  });
}

const decimal = (value: number): string => value.toLocaleString('en-US', { maximumSignificantDigits: 3 });

/** Where the names of the curves stand: at their last points, moved apart where they would overlap. */
function endLabels(curves: readonly Drawn[][], yLinear: boolean): (Drawn & { at: number })[] {
  const scale = (value: number) => (yLinear ? value : Math.log(value));
  const unscale = (value: number) => (yLinear ? value : Math.exp(value));
  const scaledValues = curves.flat().map(({ y }) => scale(y));
  const minGap = ((Math.max(...scaledValues) - Math.min(...scaledValues)) * 15) / (PANEL.height - 60);
  const ends = curves.flatMap((points) => points.slice(-1)).map((end) => ({ ...end, at: scale(end.y) }));
  for (const panel of new Set(ends.map(({ fx, fy }) => `${fx} ${fy}`))) {
    const panelEnds = ends.filter(({ fx, fy }) => `${fx} ${fy}` === panel).sort((a, b) => a.at - b.at);
    for (let i = 1; i < panelEnds.length; i++) {
      const [below, end] = [panelEnds[i - 1] as { at: number }, panelEnds[i] as { at: number }];
      end.at = Math.max(end.at, below.at + minGap);
    }
  }
  return ends.map((end) => ({ ...end, at: unscale(end.at) }));
}
