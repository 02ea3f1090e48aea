/** What is estimated of outputs, where nothing holds for certain. */

export interface ErrorEstimate {
  /** Estimated ||output - exact output||. */
  error: number;
  /** Estimated ||exact output||, rather too small than too large. */
  exactNorm: number;
}

/** ||x|| */
export function normOf(row: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += (row[i] as number) ** 2;
  return Math.sqrt(sum);
}

/** The estimated relative error; infinite where nothing can be said. */
export const relativeError = ({ error, exactNorm }: ErrorEstimate): number =>
  exactNorm > 0 ? error / exactNorm : Number.POSITIVE_INFINITY;
