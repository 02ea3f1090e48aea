/** The head of the page: which model, and the numbers that one should see first. */
import { formatBytes, formatCount, formatLength } from '../../../format.ts';
import type { LawPageData } from '../../law-page-data.ts';
import { type Tile, Tiles } from '../parts.tsx';
import { exponent, percent } from '../text.ts';

export function Overview({ data }: { data: LawPageData }) {
  const { model, texts, lengths, headline, summary } = data;
  const longest = lengths.at(-1) ?? 0;
  const own = summary.laws.find(({ need, share }) => need === headline.need && share === headline.share);
  const keys = own?.keys.at(-1) ?? 0;
  const far = summary.predictions.find(({ n }) => n === 131_072) ?? summary.predictions.at(-1);
  const tiles: Tile[] = [
    {
      value: `${formatCount(keys)} keys`,
      label: `of ${formatCount(longest)} hold ${percent(1 - headline.share)} of the softmax in the mean head: ${percent(keys / longest)} of the context`,
    },
    {
      value: `C = ${exponent(own?.C.median ?? Number.NaN)}`,
      label: `is the exponent of the median head: its keys grow as n^C. Nine of ten heads are between ${exponent(own?.C.p5 ?? Number.NaN)} and ${exponent(own?.C.p95 ?? Number.NaN)}`,
    },
  ];
  if (far !== undefined) {
    tiles.push(
      {
        value: `${formatCount(far.keys)} keys`,
        label: `would do the same at ${formatLength(far.n)} tokens, ${percent(far.share)} of them${far.extrapolated ? ' (extrapolated)' : ''}`,
      },
      {
        value: `${(far.denseBytes / far.bytes).toFixed(1)} x less`,
        label: `to read at ${formatLength(far.n)} tokens by the engine's own budget: ${formatBytes(far.bytes)} a token where dense attention reads ${formatBytes(far.denseBytes)}`,
      },
    );
  }
  return (
    <header>
      <h1>How many keys {model.name} needs</h1>
      <p class="facts">
        {model.layers} layers of {model.heads} heads · {texts.map(({ name }) => name).join(', ')} · up to{' '}
        {formatCount(longest)} tokens
      </p>
      <p>
        Each new token compares itself with every token before it, but most of those comparisons change nothing. About
        alpha · n^C of the n tokens are enough, with an alpha and a C of its own in each attention head. This page shows
        what they are in this model, and what follows from them.
      </p>
      <Tiles tiles={tiles} />
    </header>
  );
}
