/** All heads as heat maps, and beside them the one that is pointed at. */
import { formatNumber } from '../../../format/format.ts';
import { quantile } from '../../../numerics/statistics.ts';
import type { LawPageData, PageHead } from '../../law-page-data.ts';
import { HeatMap } from '../heat-map.tsx';
import { Card } from '../parts.tsx';
import { percent } from '../text.ts';
import { Choices } from './choices.tsx';
import { HeadPanel } from './head-panel.tsx';
import { choose, headAt, lawOf, state } from './state.ts';

export function Heads({ data }: { data: LawPageData }) {
  const { model, heads, lengths } = data;
  const head = heads[state.value.head] as PageHead;
  const law = lawOf(head);
  const exponents = heads.map((each) => lawOf(each)?.fit.C ?? Number.NaN);
  const alphas = heads.map((each) => lawOf(each)?.fit.alpha ?? Number.NaN).filter((alpha) => alpha > 0);
  const spread = Math.max(...exponents) - Math.min(...exponents);
  const shape = {
    rows: model.layers,
    columns: model.heads,
    rowName: 'layer',
    columnName: 'head',
    selected: { row: model.layerIndices?.indexOf(head.layer) ?? head.layer, column: head.head },
    onSelect: (layer: number, at: number) => choose({ head: layer * model.heads + at }),
  };
  return (
    <Card title={spread > 0.3 ? 'Every head has a law of its own' : 'The heads have much the same law'}>
      <p>
        A cell is a head. Left, the exponent <b>C</b>: 0 means that a fixed number of keys is enough however long the
        context is, 1 that the keys grow as fast as the context. Right, <b>alpha</b>, the factor before n^C. Below, what
        tells heads apart whatever keys are needed for: the share of the variance of their scores that distance alone
        explains, and what rank 4 leaves of their attention. Point at a cell, tap it, or go there with the arrow keys.
      </p>
      <Choices data={data} name="heads" />
      <div class="head-layout">
        <div class="maps">
          <HeatMap
            {...shape}
            title="C, exponent"
            value={(layer, at) => exponentOf(headAt(data, layer, at))}
            format={(C) => C.toFixed(1)}
            domain={[0, 1.2]}
          />
          <HeatMap
            {...shape}
            title="alpha, keys"
            logarithmic
            value={(layer, at) => alphaOf(headAt(data, layer, at))}
            format={(alpha) => formatNumber(alpha, 1)}
            domain={[Math.max(0.01, quantile(alphas, 0.02)), Math.max(0.1, quantile(alphas, 0.98))]}
          />
          <HeatMap
            {...shape}
            title="by distance"
            value={(layer, at) => headAt(data, layer, at)?.distanceShare ?? Number.NaN}
            format={percent}
            domain={[0, 1]}
          />
          <HeatMap
            {...shape}
            title="beyond rank 4"
            value={(layer, at) => headAt(data, layer, at)?.rank4Residual ?? Number.NaN}
            format={percent}
            domain={[0, 1]}
          />
        </div>
        {law !== undefined && <HeadPanel data={data} head={head} law={law} longest={lengths.at(-1) ?? 1} />}
      </div>
    </Card>
  );
}

const exponentOf = (head: PageHead | undefined): number => (head && lawOf(head)?.fit.C) ?? Number.NaN;
const alphaOf = (head: PageHead | undefined): number => (head && lawOf(head)?.fit.alpha) ?? Number.NaN;
