/** What many rounds have given, in three numbers that one slow round does not move. */
import { quantile } from '../eval/divergence.ts';

/** The median and the quartiles. */
export interface Spread {
  median: number;
  low: number;
  high: number;
}

export const spreadOf = (numbers: readonly number[]): Spread => ({
  median: quantile(numbers, 0.5),
  low: quantile(numbers, 0.25),
  high: quantile(numbers, 0.75),
});

/** Of one side's times to the other's, round by round, so that what else the machine did in a round hits both. */
export const ratioOf = (theirs: readonly number[], ours: readonly number[]): Spread =>
  spreadOf(theirs.map((time, round) => time / (ours[round] as number)));

export const formatSpread = ({ median, low, high }: Spread, digits: number): string =>
  `${median.toFixed(digits)} (${low.toFixed(digits)} to ${high.toFixed(digits)})`;
