/**
 * The growth of the keys of single heads with n, for extrapolation: slopes with their uncertainty, and the mean keys that
 * follow from them. Lines are fitted to logarithms, and a line through the mean of logarithms is below the mean: the
 * distances of the queries from the line are carried along (the smearing estimate of Duan 1983).
 */
import { type Estimate, fitLine, mean, standardDeviation } from '../numerics/statistics.ts';
import { shrink } from './shrink.ts';

/** ln n, and ln of the needed keys, of the queries of one head. */
export interface LogKeys {
  logN: Float64Array;
  logKeys: Float64Array;
}

/** The least-squares line of a head: it passes through the mean ln n and mean ln keys with the slope C. */
export interface Growth {
  logN: number;
  logKeys: number;
  C: Estimate;
  /** What it was fitted to. */
  queries: LogKeys;
}

/** Fits the line. Where all n are equal the slope is 0 and its error as large as can be. */
export function fitGrowth(queries: LogKeys): Growth {
  const { logN, logKeys } = queries;
  const { intercept, slope } = fitLine(logN, logKeys);
  let squares = 0;
  for (let i = 0; i < logN.length; i++) {
    squares += ((logKeys[i] as number) - intercept - slope * (logN[i] as number)) ** 2;
  }
  const variance = squares / Math.max(1, logN.length - 2);
  const spread = logN.length * standardDeviation(logN) ** 2;
  return {
    logN: mean(logN),
    logKeys: mean(logKeys),
    C: { value: slope, error: spread > 0 ? Math.sqrt(variance / spread) : Number.MAX_VALUE },
    queries,
  };
}

/** The slopes of heads, shrunk towards their common mean. */
export const shrinkSlopes = (growths: readonly Growth[]): number[] => shrink(growths.map(({ C }) => C)).values;

/** The mean keys that the queries of a head are predicted to need at n, given a slope: each between 1 key and n. */
export function predictMeanKeys({ queries: { logN, logKeys } }: Growth, slope: number, n: number): number {
  const logLength = Math.log(n);
  const keys = Float64Array.from(logKeys, (log, i) => {
    const logAtLength = log + slope * (logLength - (logN[i] as number));
    return Math.exp(Math.min(logLength, Math.max(0, logAtLength)));
  });
  return mean(keys);
}
