/** One head: its law as a log-log line with what was measured, and its error against the keys that are read. */
import * as Plot from '@observablehq/plot';
import type { HeadKind, LawShape } from 'keysieve';
import { formatCount, formatNumber } from '../../../format/format.ts';
import { keysFromFit } from '../../../law/shapes.ts';
import type { LawPageData, PageHead, PageLaw } from '../../law-page-data.ts';
import { lengthAxis, logAxis, TIP } from '../axes.ts';
import { Chart } from '../chart.tsx';
import { Legend } from '../parts.tsx';
import { exponent, percent } from '../text.ts';
import { CRITERION_NAMES } from './state.ts';

export const KIND_NAMES: Readonly<Record<HeadKind, string>> = {
  sink: 'looks at the first tokens',
  local: 'looks at the last tokens',
  retrieval: 'finds a few tokens anywhere',
  diffuse: 'spreads over many tokens',
};

const SHAPE_NAMES: Readonly<Record<LawShape, string>> = {
  constant: 'a fixed number of keys',
  power: 'a power of n',
  linear: 'a share of n',
  saturating: 'growth that levels off',
};

/** How far past the longest measured length the law is drawn. */
const EXTRAPOLATION_FACTOR = 4;

interface HeadPanelProps {
  data: LawPageData;
  head: PageHead;
  law: PageLaw;
  longest: number;
}

export function HeadPanel({ data, head, law, longest }: HeadPanelProps) {
  const { fit } = law;
  return (
    <div class="head-panel">
      <h3 aria-live="polite">
        Layer {head.layer}, head {head.head}: {head.kind}
      </h3>
      <p class="small muted">
        It {KIND_NAMES[head.kind]}: {percent(head.sinkMass)} of its softmax lies on the first 4 tokens,{' '}
        {percent(head.localMass)} on the last 128.{' '}
        {head.distanceShare !== null &&
          `Distance alone explains ${percent(Math.max(0, head.distanceShare))} of the variance of its scores. `}
        {percent(head.rank4Residual)} of its attention is left beyond rank 4. Its law is{' '}
        <b>
          {formatNumber(fit.alpha)} · n^{exponent(fit.C)}
        </b>{' '}
        (C between {exponent(fit.interval[0])} and {exponent(fit.interval[1])}; the line explains{' '}
        {percent(Math.max(0, fit.r2))} of the variance). The shape that fits best is {SHAPE_NAMES[fit.shape]}.
      </p>
      <LawChart data={data} head={head} law={law} longest={longest} />
      <ErrorChart data={data} head={head} />
    </div>
  );
}

function LawChart({ data: { lengths, shares }, head, law, longest }: HeadPanelProps) {
  const { fit } = law;
  const range = [...lengths, longest * 2, longest * EXTRAPOLATION_FACTOR];
  const points = lengths.map((n, i) => ({ n, ...(law.keys[i] as PageLaw['keys'][number]) }));
  const line = range.map((n) => ({ n, keys: keysFromFit(fit, n), ahead: n >= longest }));
  const gaussian = law.criterion === 'mass' ? (head.gaussian[shares.indexOf(law.share)] ?? []) : [];
  const shown = [
    ...points.flatMap(({ p10, p90 }) => [Math.max(1, p10), p90]),
    ...line.map(({ keys }) => keys),
    ...gaussian,
  ];
  return (
    <>
      <Legend
        entries={[
          { label: 'measured: median, and eight of ten queries', color: 'var(--blue)' },
          { label: 'law, dashed where not measured', color: 'var(--orange)' },
          ...(gaussian.length > 0
            ? [{ label: 'if its scores were Gaussian', color: 'var(--muted)', shape: 'dashed' as const }]
            : []),
        ]}
      />
      <Chart
        label={`Keys that layer ${head.layer}, head ${head.head} needs against the tokens of context`}
        plot={(width) => ({
          height: 270,
          marginLeft: 52,
          marginRight: 12,
          x: { type: 'log' },
          y: { type: 'log' },
          marks: [
            lengthAxis('tokens of context, n', range[0] ?? 1, longest * EXTRAPOLATION_FACTOR, width),
            ...logAxis(`keys for at most ${percent(law.share)} ${CRITERION_NAMES[law.criterion]}`, shown, formatCount),
            Plot.ruleX(points, {
              x: 'n',
              y1: 'p10',
              y2: 'p90',
              stroke: 'var(--blue)',
              strokeOpacity: 0.45,
              strokeWidth: 3,
            }),
            ...(gaussian.length > 0
              ? [
                  Plot.line(
                    gaussian.map((keys, i) => ({ n: lengths[i] ?? 1, keys: Math.max(1, keys) })),
                    { x: 'n', y: 'keys', stroke: 'var(--muted)', strokeDasharray: '2,3' },
                  ),
                ]
              : []),
            Plot.line(
              line.filter(({ n }) => n <= longest),
              { x: 'n', y: 'keys', stroke: 'var(--orange)', strokeWidth: 2 },
            ),
            Plot.line(
              line.filter(({ ahead }) => ahead),
              { x: 'n', y: 'keys', stroke: 'var(--orange)', strokeWidth: 2, strokeDasharray: '5,4' },
            ),
            Plot.dot(points, { x: 'n', y: 'median', fill: 'var(--blue)', r: 4 }),
            Plot.tip(
              points,
              Plot.pointerX({
                x: 'n',
                y: 'median',
                ...TIP,
                title: ({ n, mean, median, p10, p90 }: (typeof points)[number]) =>
                  `${formatCount(n)} tokens: ${formatCount(median)} keys, on average ${formatCount(mean)}\neight of ten queries: ${formatCount(p10)} to ${formatCount(p90)}`,
              }),
            ),
          ],
        })}
      />
    </>
  );
}

function ErrorChart({ data: { lengths, ladder }, head }: Pick<HeadPanelProps, 'data' | 'head'>) {
  const at = lengths.length - 1;
  const onLadder = (errors: readonly (number | null)[] = []) =>
    errors.flatMap((error, i) => (error === null ? [] : [{ keys: ladder[i] ?? 1, error }]));
  const masses = head.laws
    .filter(({ criterion }) => criterion === 'mass')
    .map(({ share, keys }) => ({ keys: keys[at]?.mean ?? 1, error: share }));
  const curves = [
    { name: 'softmax left unread', color: 'var(--blue)', points: masses },
    { name: 'output error, rest dropped', color: 'var(--orange)', points: onLadder(head.errorWithoutTail[at]) },
    { name: 'output error, rest estimated', color: 'var(--green)', points: onLadder(head.errorWithTail[at]) },
  ];
  const points = curves.flatMap(({ name, points: curvePoints }) =>
    curvePoints.filter(({ error, keys }) => error > 0 && keys > 0).map((point) => ({ ...point, name })),
  );
  const n = formatCount(lengths[at] ?? 0);
  const keys = points.map((point) => point.keys);
  return (
    <>
      <Legend entries={curves.map(({ name, color }) => ({ label: name, color }))} />
      <Chart
        label={`What layer ${head.layer}, head ${head.head} leaves out at ${n} tokens, against the keys that it reads`}
        plot={(width) => ({
          height: 220,
          marginLeft: 52,
          marginRight: 12,
          x: { type: 'log' },
          y: { type: 'log' },
          marks: [
            lengthAxis(`keys read of ${n}`, Math.min(...keys), Math.max(...keys), width),
            ...logAxis(
              'share or relative error',
              points.map(({ error }) => error),
              percent,
            ),
            ...curves.map(({ name, color }) =>
              Plot.lineY(
                points.filter((point) => point.name === name),
                { x: 'keys', y: 'error', stroke: color, strokeWidth: 2, marker: 'dot' },
              ),
            ),
            Plot.tip(
              points,
              Plot.pointer({
                x: 'keys',
                y: 'error',
                ...TIP,
                title: ({ name, keys: read, error }: (typeof points)[number]) =>
                  `${formatCount(read)} keys\n${name}: ${percent(error)}`,
              }),
            ),
          ],
        })}
      />
    </>
  );
}
