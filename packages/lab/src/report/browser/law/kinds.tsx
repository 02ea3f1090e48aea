/** The kinds of heads, and how many there are of each. */
import type { HeadKind } from 'keysieve';
import { formatCount } from '../../../format/format.ts';
import { mean } from '../../../numerics/statistics.ts';
import type { LawPageData } from '../../law-page-data.ts';
import { Card, Table } from '../parts.tsx';
import { exponent, percent } from '../text.ts';
import { KIND_NAMES } from './head-panel.tsx';
import { lawOf } from './state.ts';

const COLORS: Readonly<Record<HeadKind, string>> = {
  sink: 'var(--yellow)',
  local: 'var(--sky)',
  retrieval: 'var(--blue)',
  diffuse: 'var(--orange)',
};

export function Kinds({ data: { heads, lengths, summary } }: { data: LawPageData }) {
  const kinds = Object.entries(summary.kinds) as [HeadKind, number][];
  const few = summary.heads - summary.kinds.diffuse;
  const rows = kinds.map(([kind, count]) => {
    const headsOfKind = heads.filter((head) => head.kind === kind);
    const laws = headsOfKind.flatMap((head) => lawOf(head) ?? []);
    const distanceShares = headsOfKind.flatMap(({ distanceShare }) => distanceShare ?? []);
    return [
      <span key="kind">
        <span class="swatch" style={{ background: COLORS[kind] }} />
        {kind}
      </span>,
      KIND_NAMES[kind],
      formatCount(count),
      laws.length === 0 ? '' : exponent(mean(laws.map(({ fit }) => fit.C))),
      laws.length === 0 ? '' : formatCount(mean(laws.map(({ keys }) => keys.at(-1)?.mean ?? 0))),
      distanceShares.length === 0 ? '' : percent(mean(distanceShares)),
      headsOfKind.length === 0 ? '' : percent(mean(headsOfKind.map(({ rank4Residual }) => rank4Residual))),
    ];
  });
  return (
    <Card title={`${percent(few / summary.heads)} of the heads need only a small part of the context`}>
      <p>
        Kinds are told apart at the longest context: half of the softmax on the first 4 tokens, or on the last 128; else
        diffuse where a tenth of the keys or more are needed to hold 90 % of it, and retrieval where fewer are enough.
      </p>
      <div class="shares" role="img" aria-label={kinds.map(([kind, count]) => `${kind}: ${count}`).join(', ')}>
        {kinds
          .filter(([, count]) => count > 0)
          .map(([kind, count]) => (
            <span key={kind} style={{ flexGrow: count, background: COLORS[kind] }} />
          ))}
      </div>
      <Table
        columns={[
          { name: 'kind' },
          { name: 'what it does' },
          { name: 'heads', number: true },
          { name: 'C, mean', number: true },
          { name: `mean keys at ${formatCount(lengths.at(-1) ?? 0)}`, number: true },
          { name: 'explained by distance', number: true },
          { name: 'beyond rank 4', number: true },
        ]}
        rows={rows}
      />
    </Card>
  );
}
