/** How the keys of single heads grow with n: slopes with their uncertainty, for carrying laws past what was measured. */
import { fitLine, meanOf } from './shapes.ts';
import { type Estimate, shrink } from './shrink.ts';

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
  const { level, slope } = fitLine(logN, logKeys);
  const mean = meanOf(logN);
  let [squares, spread] = [0, 0];
  for (let i = 0; i < logN.length; i++) {
    const x = logN[i] as number;
    squares += ((logKeys[i] as number) - level - slope * x) ** 2;
    spread += (x - mean) ** 2;
  }
  const variance = squares / Math.max(1, logN.length - 2);
  return {
    logN: mean,
    logKeys: meanOf(logKeys),
    C: { value: slope, standardError: spread > 0 ? Math.sqrt(variance / spread) : Number.MAX_VALUE },
  };
}

/** The slopes of heads, pulled towards that of all. */
export const shrinkSlopes = (growths: readonly Growth[]): number[] => shrink(growths.map(({ C }) => C)).values;

/** ln of the keys that a head is predicted to need of n, with a slope: from 1 key to n. */
export const predictLogKeys = ({ logN, logKeys }: Growth, slope: number, logLength: number): number =>
  Math.min(logLength, Math.max(0, logKeys + slope * (logLength - logN)));
