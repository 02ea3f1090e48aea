/** The table of estimates against true errors. */
import { formatCount, formatShare } from '../../format/format.ts';
import type { EstimateResult } from './estimates.ts';

/** One line a set and reading. */
export function estimatesTable(results: readonly EstimateResult[]): { names: string[]; rows: string[][] } {
  return {
    names: [
      'keys',
      'reading',
      'rows',
      'true error',
      'p95',
      'estimated / true',
      'within twice',
      'mean error',
      'mean estimate',
      'unknown',
      'holds',
    ],
    rows: results.map(({ set, reading, summary }) => [
      set,
      reading,
      formatCount(summary.rows),
      summary.error.median.toPrecision(2),
      summary.error.p95.toPrecision(2),
      summary.ratio.toFixed(2),
      formatShare(summary.withinTwice),
      summary.error.mean.toPrecision(2),
      summary.estimate.mean.toPrecision(2),
      formatShare(summary.unknown),
      summary.holds ? 'yes' : 'no',
    ]),
  };
}

/** How many lines hold, and what that means. */
export function describeEstimates(results: readonly EstimateResult[]): string {
  const holding = results.filter(({ summary }) => summary.holds).length;
  return `${holding} of ${results.length} hold: the true error is below twice the estimate in at least 95 % of the rows, and the median of estimate over error is at most 3.`;
}
