/** What the laws of all heads come to: medians, kinds, and what a length that was never measured would take. */
import { growthOf, predictLogKeys, shrunkSlopes } from './growth.ts';
import {
  type GroupLaw,
  HEAD_KINDS,
  type HeadLaw,
  LAW_SHAPES,
  type LawFile,
  type LawPrediction,
  type LawSummary,
  lawOf,
  NEEDS,
} from './law-file.ts';
import type { PooledTallies } from './pooled.ts';
import { line, meanOf, quantileOf } from './shapes.ts';

/** Lengths that are predicted, whether or not they were measured. */
export const PREDICTED_LENGTHS = [32_768, 131_072, 1_048_576];

/** The budget of the policy where none is named. */
export const DEFAULT_KEYS = 256;

/** Past this exponent a group's budget is not carried: nothing grows faster than n. */
const LARGEST_EXPONENT = 1;

export interface SummaryOptions {
  pooled: PooledTallies;
  heads: readonly HeadLaw[];
  groups: readonly GroupLaw[];
  headline: LawFile['headline'];
  /** Bytes of a key and its value in one key-value head, read exactly. */
  rowBytes: number;
}

export function summaryOf({ pooled, heads, groups, headline, rowBytes }: SummaryOptions): LawSummary {
  const { shares } = pooled.design;
  const count = <Name extends string>(names: readonly Name[], of: (head: HeadLaw) => Name) =>
    Object.fromEntries(names.map((name) => [name, heads.filter((head) => of(head) === name).length])) as Record<
      Name,
      number
    >;
  return {
    heads: heads.length,
    kinds: count(HEAD_KINDS, ({ kind }) => kind),
    shapes: count(LAW_SHAPES, (head) => lawOf(head.laws, headline.need, headline.share).fit.shape),
    laws: NEEDS.flatMap((need) =>
      shares.map((share) => {
        const own = heads.map((head) => lawOf(head.laws, need, share));
        const exponents = own.map(({ fit }) => fit.C);
        const [p5, median, p95] = [0.05, 0.5, 0.95].map((part) => quantileOf(exponents, part)) as [
          number,
          number,
          number,
        ];
        return {
          ...{ need, share, C: { median, p5, p95 } },
          r2: quantileOf(
            own.map(({ fit }) => fit.r2),
            0.5,
          ),
          keys: pooled.lengths.map((_, length) => meanOf(own.map(({ keys }) => keys[length]?.mean as number))),
        };
      }),
    ),
    textCorrelation: textCorrelation(pooled, headline),
    predictions: predictionsOf(pooled, groups, headline, rowBytes),
  };
}

/** Of C over the heads, between the first two texts. */
function textCorrelation(pooled: PooledTallies, headline: LawFile['headline']): number | null {
  const [first, second] = pooled.tallies.map((tally) => {
    const own = pooled.of(tally);
    return rowsOf(own).map((row) => growthOf(logNeeded(own, row, headline)).C.value);
  });
  if (first === undefined || second === undefined) return null;
  const spread = (numbers: readonly number[]) => {
    const mean = meanOf(numbers);
    return Math.sqrt(meanOf(numbers.map((x) => (x - mean) ** 2)));
  };
  return (line(first, second).slope * spread(first)) / spread(second);
}

function predictionsOf(
  pooled: PooledTallies,
  groups: readonly GroupLaw[],
  headline: LawFile['headline'],
  rowBytes: number,
): LawPrediction[] {
  const longest = pooled.lengths.at(-1) as number;
  const growths = rowsOf(pooled).map((row) => growthOf(logNeeded(pooled, row, headline)));
  const slopes = shrunkSlopes(growths);
  const bytes = bytesOf(pooled);
  return PREDICTED_LENGTHS.map((n) => {
    const keys = meanOf(growths.map((growth, i) => Math.exp(predictLogKeys(growth, slopes[i] as number, Math.log(n)))));
    // What holds the error that the default has at the longest length that was measured.
    const budget = meanOf(
      groups.map(({ surface }) => {
        const exponent = Math.min(LARGEST_EXPONENT, Math.max(0, -surface.length / surface.keys));
        return Math.min(n, DEFAULT_KEYS * (n / longest) ** exponent);
      }),
    );
    return {
      ...{ n, keys, share: keys / n, budget, bytes: groups.length * bytes(n, budget) },
      ...{ denseBytes: groups.length * n * rowBytes, extrapolated: n > longest },
    };
  });
}

/** Bytes that a group reads of n keys with a budget, a n + b k, through what was counted when the policy was tried. */
function bytesOf(pooled: PooledTallies): (n: number, budget: number) => number {
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

/** Rows of all heads. */
export const rowsOf = ({ design }: PooledTallies): number[] =>
  Array.from({ length: design.layers * design.heads }, (_, row) => row);

/** Keys that a head needed for the headline, as logarithms; of all lengths that are used, or of one. */
export function logNeeded(pooled: PooledTallies, row: number, { need, share }: LawFile['headline'], length?: number) {
  const { n, keys } = pooled.needed(row, need, pooled.design.shares.indexOf(share), length);
  return { logN: Float64Array.from(n, Math.log), logKeys: Float64Array.from(keys, Math.log) };
}
