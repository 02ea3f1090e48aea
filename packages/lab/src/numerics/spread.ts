/** What many rounds of a measurement gave, in three numbers that one slow round does not move. */
import { quantile } from './statistics.ts';

/** The median and the quartiles. */
export interface Spread {
  median: number;
  low: number;
  high: number;
}

/** The median and quartiles of the numbers. */
export const spreadOf = (numbers: readonly number[]): Spread => ({
  median: quantile(numbers, 0.5),
  low: quantile(numbers, 0.25),
  high: quantile(numbers, 0.75),
});

/** Ratios of the peer's times to ours, round by round: whatever else the machine did in a round slowed both. */
export const ratioOf = (theirs: readonly number[], ours: readonly number[]): Spread =>
  spreadOf(theirs.map((time, round) => time / (ours[round] as number)));
