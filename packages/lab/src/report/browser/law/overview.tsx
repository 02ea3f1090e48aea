/** The head of the page: which model, and the numbers that one should see first. */
import { formatBytes, formatCount, formatLength } from '../../../format/format.ts';
import { fitLine } from '../../../numerics/statistics.ts';
import type { LawPageData } from '../../law-page-data.ts';
import { type Tile, Tiles } from '../parts.tsx';
import { exponent, percent } from '../text.ts';

export function Overview({ data }: { data: LawPageData }) {
  const { model, texts, lengths, headline, summary } = data;
  const longest = lengths.at(-1) ?? 0;
  const headlineLaw = summary.laws.find(
    ({ criterion, share }) => criterion === headline.criterion && share === headline.share,
  );
  const keys = headlineLaw?.keys.at(-1) ?? 0;
  const growth = fitLine(lengths.map(Math.log), (headlineLaw?.keys ?? []).map(Math.log)).slope;
  const longPrediction = summary.predictions.find(({ n }) => n === 131_072) ?? summary.predictions.at(-1);
  const tiles: Tile[] = [
    {
      value: `${formatCount(keys)} keys`,
      label: `of ${formatCount(longest)} hold ${percent(1 - headline.share)} of the softmax, averaged over heads: ${percent(keys / longest)} of the context`,
    },
    {
      value: `n^${exponent(growth)}`,
      label: `is how this mean has grown from ${formatCount(lengths[0] ?? 0)} tokens on. Heads differ: the exponent C of a typical query is ${exponent(headlineLaw?.C.median ?? Number.NaN)} in the median head, and from ${exponent(headlineLaw?.C.p5 ?? Number.NaN)} to ${exponent(headlineLaw?.C.p95 ?? Number.NaN)} in nine of ten`,
    },
  ];
  if (longPrediction !== undefined) {
    tiles.push(
      {
        value: `${formatCount(longPrediction.keys)} keys`,
        label: `would do the same at ${formatLength(longPrediction.n)} tokens, averaged over heads too: ${percent(longPrediction.share)} of the context${longPrediction.extrapolated ? ' (extrapolated)' : ''}`,
      },
      {
        value: `${(longPrediction.denseBytes / longPrediction.bytes).toFixed(1)} x less`,
        label: `to read at ${formatLength(longPrediction.n)} tokens by the engine's own budget: ${formatBytes(longPrediction.bytes)} a token where dense attention reads ${formatBytes(longPrediction.denseBytes)}`,
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
