/** What `keysieve bench steps` has found, as the cells of a table: for a terminal, and for a page. */
import { formatCount, formatShare, formatSpread } from '../format/format.ts';
import type { StepsResult } from './steps.ts';

export function stepsTable({ bins }: StepsResult): { names: string[]; rows: string[][] } {
  return {
    names: ['from', 'ms a token', 'to the bin before', 'heads dense'],
    rows: bins.map(({ from, ms, growth, fullAttentionShare }) => [
      formatCount(from),
      formatSpread(ms, 1),
      growth === null ? '' : formatSpread(growth, 2),
      formatShare(fullAttentionShare),
    ]),
  };
}

export function describeLargestJump({ bin, largestJump }: StepsResult): string {
  if (largestJump === null) return 'There is one bin, and no step.';
  const { growth, at } = largestJump;
  return `The largest step from one bin of ${bin} tokens to the next is to ${growth.toFixed(2)} times the time, at ${formatCount(at)}.`;
}
