/** How the keys of single heads grow with n: slopes with their uncertainty, for carrying laws past what was measured. */
import { type Estimate, fitLine, mean, standardDeviation } from '../numerics/statistics.ts';
import { shrink } from './shrink.ts';

/** Queries of one head: ln n of each, and ln of the keys that it needed. */
export interface LogKeys {
  logN: Float64Array;
  logKeys: Float64Array;
}

/** A line through the queries of a head: mean ln n, mean ln keys, and the slope C. */
export interface Growth {
  logN: number;
  logKeys: number;
  C: Estimate;
}

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

/** The slopes of heads, pulled towards that of all. */
export const shrinkSlopes = (growths: readonly Growth[]): number[] => shrink(growths.map(({ C }) => C)).values;

/** ln of the keys that a head is predicted to need of n, with a slope: from 1 key to n. */
export const predictLogKeys = ({ logN, logKeys }: Growth, slope: number, logLength: number): number =>
  Math.min(logLength, Math.max(0, logKeys + slope * (logLength - logN)));
