/** The result of `keysieve measure`, as tables and sentences. */

import { HEAD_KINDS, type HeadLaw, LAW_SHAPES, type LawFile } from 'keysieve';
import { formatBytes, formatCount, formatShare } from '../format/format.ts';
import { formatTable } from '../format/table.ts';
import { mean } from '../numerics/statistics.ts';

const CRITERION_NAMES = {
  mass: 'mass left out',
  errorWithoutTail: 'error without the tail',
  errorWithTail: 'error with the tail estimated',
};

/** A law as tables of at most `width` columns, with sentences between them. */
export function describeLaw({ lengths, heads, summary, extrapolation }: LawFile, width: number): string {
  const { laws, shapes, predictions, textCorrelation } = summary;
  const shown = lengths.filter((_, i) => (lengths.length - 1 - i) % 2 === 0);
  const lawTable = formatTable(
    ['mean keys for', 'at most', ...shown.map((n) => `n = ${formatCount(n)}`), 'median C', '5 %', '95 %'],
    laws.map(({ criterion, share, C, keys }) => [
      CRITERION_NAMES[criterion],
      formatShare(share),
      ...shown.map((n) => formatCount(keys[lengths.indexOf(n)] ?? Number.NaN)),
      ...[C.median, C.p5, C.p95].map((x) => x.toFixed(2)),
    ]),
    { width },
  );
  const formatCounts = <Name extends string>(names: readonly Name[], counts: Record<Name, number>) =>
    names.map((name) => `${counts[name]} ${name}`).join(', ');
  const extrapolationLines = extrapolation.map(({ fittedTo, predicted, kinds }) => {
    const errors = kinds.map(({ kind, error }) => `${kind} ${formatShare(Math.exp(error) - 1)}`);
    return `Fitted up to ${formatCount(fittedTo)}, keys at ${formatCount(predicted)} are off by: ${errors.join(', ')}.`;
  });
  const predictionTable = formatTable(
    ['predicted for n', 'mean keys', 'of all', 'budget', 'bytes a token', 'dense'],
    predictions.map(({ n, keys, share, budget, bytes, denseBytes }) => [
      formatCount(n),
      formatCount(keys),
      formatShare(share),
      formatCount(budget),
      formatBytes(bytes),
      formatBytes(denseBytes),
    ]),
    { width },
  );
  return [
    lawTable,
    describeHeads(heads, width),
    `Growth: ${formatCounts(LAW_SHAPES, shapes)}.`,
    ...(textCorrelation === null
      ? []
      : [`C of the first two texts correlates with r = ${textCorrelation.toFixed(2)}.`]),
    ...extrapolationLines,
    predictionTable,
  ].join('\n');
}

/** Means over the heads of each kind, at the longest length, and the largest of a head. */
function describeHeads(heads: readonly HeadLaw[], width: number): string {
  const meanAndLargest = (numbers: readonly number[]) =>
    `${formatShare(mean(numbers))}, at most ${formatShare(Math.max(...numbers))}`;
  const rows = HEAD_KINDS.flatMap((kind) => {
    const headsOfKind = heads.filter((head) => head.kind === kind);
    if (headsOfKind.length === 0) return [];
    const distanceShares = headsOfKind.flatMap(({ distanceShare }) => distanceShare.at(-1) ?? []);
    return [
      [
        kind,
        formatCount(headsOfKind.length),
        formatShare(mean(headsOfKind.map(({ sinkMass }) => sinkMass.at(-1) ?? 0))),
        formatShare(mean(headsOfKind.map(({ localMass }) => localMass.at(-1) ?? 0))),
        distanceShares.length === 0 ? '' : meanAndLargest(distanceShares),
        meanAndLargest(headsOfKind.map(({ rank4Residual }) => rank4Residual)),
      ],
    ];
  });
  const names = ['kind', 'heads', 'on the first 4', 'on the last 128', 'explained by distance', 'beyond rank 4'];
  return formatTable(names, rows, { width });
}
