/** The growth of the keys of single heads with n: slopes with their uncertainty, for extrapolation. */
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
}

/** Fits the line. Where all n are equal the slope is 0 and its error as large as can be. */
export function fitGrowth({ logN, logKeys }: LogKeys): Growth {
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
  };
}

/** The slopes of heads, shrunk towards their common mean. */
export const shrinkSlopes = (growths: readonly Growth[]): number[] => shrink(growths.map(({ C }) => C)).values;

/** ln of the keys that a head is predicted to need at ln n, given a slope: between 1 key and n. */
export const predictLogKeys = ({ logN, logKeys }: Growth, slope: number, logLength: number): number =>
  Math.min(logLength, Math.max(0, logKeys + slope * (logLength - logN)));
