/** Times of many rounds, in three numbers. */

export interface Spread {
  median: number;
  min: number;
  max: number;
}

/** The middle, the least and the largest of some numbers. */
export function spreadOf(numbers: readonly number[]): Spread {
  const sorted = [...numbers].sort((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? Number.NaN;
  return { median: at((sorted.length - 1) >> 1), min: at(0), max: at(sorted.length - 1) };
}

/** Of one side's times to the other's, round by round, so that what else the machine did in a round hits both. */
export const ratioOf = (theirs: readonly number[], ours: readonly number[]): Spread =>
  spreadOf(theirs.map((time, round) => time / (ours[round] as number)));

export const formatSpread = ({ median, min, max }: Spread, digits: number): string =>
  `${median.toFixed(digits)} (${min.toFixed(digits)} to ${max.toFixed(digits)})`;
