/** What the laws predict for long contexts: keys, budgets and bytes. */
import { formatBytes, formatCount, formatLength } from '../../../format/format.ts';
import type { LawPageData } from '../../law-page-data.ts';
import { Card, Table } from '../parts.tsx';
import { percent } from '../text.ts';

export function Budgets({ data }: { data: LawPageData }) {
  const { predictions } = data.summary;
  const last = predictions.at(-1);
  const share = percent(data.headline.share);
  const title =
    last === undefined
      ? 'Predictions'
      : `At ${formatLength(last.n)} tokens the engine would read ${percent(last.bytes / last.denseBytes)} of what dense attention reads`;
  return (
    <Card title={title}>
      <p>
        Mean keys of a head that leave at most {share} of the softmax unread, by the laws of the heads; the budget that
        the engine would give a head on average, where an estimate stands in for what it does not read; and the bytes
        that one token then reads from the cache, all heads and layers together.
      </p>
      <Table
        columns={[
          { name: 'context', number: true },
          { name: 'keys needed, mean', number: true },
          { name: 'of the context', number: true },
          { name: 'budget, mean', number: true },
          { name: 'bytes a token', number: true },
          { name: 'dense', number: true },
          { name: 'where it is from' },
        ]}
        rows={predictions.map(({ n, keys, share: of, budget, bytes, denseBytes, extrapolated }) => [
          formatLength(n),
          formatCount(keys),
          percent(of),
          formatCount(budget),
          formatBytes(bytes),
          formatBytes(denseBytes),
          extrapolated ? 'extrapolated' : 'measured',
        ])}
      />
    </Card>
  );
}
