/** Figures over the laws of all heads: medians, kinds, and predictions for lengths that may not have been measured. */

import {
  CRITERIA,
  findLaw,
  type GroupLaw,
  HEAD_KINDS,
  type HeadLaw,
  LAW_SHAPES,
  type LawFile,
  type LawPrediction,
  type LawSummary,
} from 'keysieve';
import { fitLine, mean, median, quantile, standardDeviation } from '../numerics/statistics.ts';
import { fitGrowth, predictMeanKeys, shrinkSlopes } from './growth.ts';
import type { PooledTallies } from './pooled.ts';

/** Lengths of the predictions, whether or not they were measured. */
export const PREDICTED_LENGTHS = [32_768, 131_072, 1_048_576];

/** Keys of the predicted budget at the longest measured length. */
export const DEFAULT_KEYS = 256;

/** The largest exponent of a predicted budget: no number of keys grows faster than n. */
const MAX_EXPONENT = 1;

/** The laws, and the tallies they were fitted to. */
export interface SummaryOptions {
  pooled: PooledTallies;
  heads: readonly HeadLaw[];
  groups: readonly GroupLaw[];
  headline: LawFile['headline'];
  /** Bytes of an exact key with its value, in one key-value head. */
  rowBytes: number;
}

/** The `summary` of a law file. */
export function summarizeLaws({ pooled, heads, groups, headline, rowBytes }: SummaryOptions): LawSummary {
  const { shares } = pooled.design;
  const count = <Name extends string>(names: readonly Name[], select: (head: HeadLaw) => Name) =>
    Object.fromEntries(names.map((name) => [name, heads.filter((head) => select(head) === name).length])) as Record<
      Name,
      number
    >;
  return {
    heads: heads.length,
    kinds: count(HEAD_KINDS, ({ kind }) => kind),
    shapes: count(LAW_SHAPES, (head) => findLaw(head.laws, headline.criterion, headline.share).fit.shape),
    laws: CRITERIA.flatMap((criterion) =>
      shares.map((share) => {
        const matching = heads.map((head) => findLaw(head.laws, criterion, share));
        const exponents = matching.map(({ fit }) => fit.C);
        return {
          criterion,
          share,
          C: { median: median(exponents), p5: quantile(exponents, 0.05), p95: quantile(exponents, 0.95) },
          r2: median(matching.map(({ fit }) => fit.r2)),
          keys: pooled.lengths.map((_, length) => mean(matching.map(({ keys }) => keys[length]?.mean as number))),
        };
      }),
    ),
    textCorrelation: textCorrelation(pooled, headline),
    predictions: predictLengths(pooled, groups, headline, rowBytes),
  };
}

/** Pearson correlation of C, over the heads, between the first two texts; null with a single text. */
function textCorrelation(pooled: PooledTallies, headline: LawFile['headline']): number | null {
  const [first, second] = pooled.tallies.map((tally) => {
    const single = pooled.single(tally);
    return headRows(single).map((row) => fitGrowth(logKeysNeeded(single, row, headline)).C.value);
  });
  if (first === undefined || second === undefined) return null;
  return (fitLine(first, second).slope * standardDeviation(first)) / standardDeviation(second);
}

function predictLengths(
  pooled: PooledTallies,
  groups: readonly GroupLaw[],
  headline: LawFile['headline'],
  rowBytes: number,
): LawPrediction[] {
  const longest = pooled.lengths.at(-1) as number;
  const growths = headRows(pooled).map((row) => fitGrowth(logKeysNeeded(pooled, row, headline)));
  const slopes = shrinkSlopes(growths);
  const bytes = fitBytesRead(pooled);
  return PREDICTED_LENGTHS.map((n) => {
    const keys = mean(growths.map((growth, i) => predictMeanKeys(growth, slopes[i] as number, n)));
    // The budget that keeps the error which the default has at the longest measured length.
    const budget = mean(
      groups.map(({ surface }) => {
        const exponent = Math.min(MAX_EXPONENT, Math.max(0, -surface.length / surface.keys));
        return Math.min(n, DEFAULT_KEYS * (n / longest) ** exponent);
      }),
    );
    return {
      n,
      keys,
      share: keys / n,
      budget,
      bytes: groups.length * bytes(n, budget),
      denseBytes: groups.length * n * rowBytes,
      extrapolated: n > longest,
    };
  });
}

/** Bytes that a group reads with a budget of k of n keys, a n + b k: the least-squares fit to the counted bytes. */
function fitBytesRead(pooled: PooledTallies): (n: number, budget: number) => number {
  let [nn, nk, kk, ny, ky] = [0, 0, 0, 0, 0];
  for (const length of pooled.lengths.keys()) {
    for (const [budget, k] of pooled.design.budgets.entries()) {
      const { bytes, n } = pooled.reading(length, budget);
      if (Number.isNaN(bytes)) continue;
      nn += n * n;
      nk += n * k;
      kk += k * k;
      ny += n * bytes;
      ky += k * bytes;
    }
  }
  const determinant = nn * kk - nk * nk;
  const [a, b] = [(ny * kk - ky * nk) / determinant, (ky * nn - ny * nk) / determinant];
  return (n, budget) => a * n + b * budget;
}

/** Indices of all heads, layer by layer. */
export const headRows = ({ design }: PooledTallies): number[] =>
  Array.from({ length: design.layers * design.heads }, (_, row) => row);

/** ln n and ln keys of a head's queries, for the headline, at all used lengths or at one. */
export function logKeysNeeded(
  pooled: PooledTallies,
  row: number,
  { criterion, share }: LawFile['headline'],
  length?: number,
) {
  const { n, keys } = pooled.keysNeeded(row, criterion, pooled.design.shares.indexOf(share), length);
  return { logN: Float64Array.from(n, Math.log), logKeys: Float64Array.from(keys, Math.log) };
}
