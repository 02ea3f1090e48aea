/** The tokens of one pass: runs of several texts, whose rows lie one after the other. */
import { llmError } from '../errors.ts';
import type { RowRange } from './row-blocks.ts';

/** The rows of a run whose logits are computed: the last, all, none, or those from a row on. */
export type RequestedLogits = 'last' | 'all' | 'none' | { from: number };

/** Consecutive tokens of one text. */
export interface TokenRun {
  tokens: Int32Array;
  /** Position of the first of them. */
  position: number;
  logits: RequestedLogits;
}

export function joinTokens(runs: readonly TokenRun[]): Int32Array {
  if (runs.length === 1) return (runs[0] as TokenRun).tokens;
  return Int32Array.from(runs.flatMap(({ tokens }) => [...tokens]));
}

export function concatenate(arrays: readonly Float32Array[]): Float32Array {
  if (arrays.length === 1) return arrays[0] as Float32Array;
  const joined = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const array of arrays) {
    joined.set(array, at);
    at += array.length;
  }
  return joined;
}

/** For each run, the rows of the pass whose logits are requested; an empty range where there are none. */
export function logitRangesOf(runs: readonly TokenRun[]): RowRange[] {
  let start = 0;
  return runs.map(({ tokens, logits }) => {
    const range = { from: start + firstLogitsRow(logits, tokens.length), to: start + tokens.length };
    start = range.to;
    return range;
  });
}

/** The logits of each range, which follow on each other in `logits`; undefined for an empty range. */
export function splitLogits(
  ranges: readonly RowRange[],
  logits: Float32Array,
  vocabularySize: number,
): (Float32Array | undefined)[] {
  let at = 0;
  return ranges.map(({ from, to }) => {
    if (from === to) return undefined;
    const start = at;
    at += (to - from) * vocabularySize;
    // Where there is one, it is handed on as it is, so that whoever keeps it keeps no other's rows.
    return start === 0 && at === logits.length ? logits : logits.slice(start, at);
  });
}

/** The first row whose logits are requested; `count` where there is none. */
function firstLogitsRow(logits: RequestedLogits, count: number): number {
  if (logits === 'last') return count - 1;
  if (logits === 'all') return 0;
  if (logits === 'none') return count;
  if (Number.isInteger(logits.from) && logits.from >= 0 && logits.from < count) return logits.from;
  throw llmError({
    code: 'invalid-argument',
    problem: 'Logits are requested from a row that does not exist.',
    found: logits.from,
    remedy: `Give a row from 0 to ${count - 1}.`,
  });
}
