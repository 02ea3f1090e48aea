/**
 * Time of a token against its position, in bins of neighbouring positions: to find where it jumps.
 *
 * What else a machine does changes times by more than a bin does, and for minutes. So each bin is timed against the one
 * before it, in turns: two sessions read the text, one as far as the one bin, one as far as the other, and decode the
 * last tokens of their bins again and again. What counts is the ratio of the two, turn by turn.
 */
import type { Model, Session } from '@keysieve/llm';
import type { PolicySpec } from 'keysieve';
import { ratioOf, type Spread, spreadOf } from '../numerics/spread.ts';

export interface StepsOptions {
  model: Model;
  attention: PolicySpec;
  /** The text, as many as the last position that is timed. */
  tokens: Int32Array;
  /** Turns that two neighbouring bins are timed in. */
  turns: number;
  signal: AbortSignal;
  onProgress(done: number, total: number): void;
}

export interface StepsResult {
  attention: PolicySpec;
  /** Tokens of a bin. */
  bin: number;
  /**
   * Positions from `from` to `from + bin`, milliseconds of a token there, and how many times as long it takes as one of
   * the bin before; null for the first.
   */
  bins: { from: number; ms: Spread; growth: Spread | null; fullAttentionShare: number }[];
  /** The largest median of the growth, and where: 1.2 is a fifth more. Null where there is one bin. */
  largestJump: { growth: number; at: number } | null;
}

const BIN = 256;
/** Tokens at the end of a bin that are decoded in a turn. */
const TURN_TOKENS = 8;
/** Tokens that are decoded before anything is timed: the runtime compiles meanwhile. */
const WARM_UP = 64;

interface BinTimes {
  ms: number[];
  rowsFull: number;
  rows: number;
}

/** Reads the text twice, and times the tokens at the end of each bin. */
export async function benchSteps(options: StepsOptions): Promise<StepsResult> {
  const { model, attention, tokens, turns, onProgress } = options;
  await using even = await model.createSession({ attention, prefill: attention });
  await using odd = await model.createSession({ attention, prefill: attention });
  const count = Math.floor(tokens.length / BIN);
  const times = Array.from({ length: count }, (): BinTimes => ({ ms: [], rowsFull: 0, rows: 0 }));
  const growths: Spread[] = [];
  if (count > 0) await warmUp(options, even);
  for (let bin = 0; bin < count; bin++) {
    const [session, previousSession] = bin % 2 === 0 ? ([even, odd] as const) : ([odd, even] as const);
    await readUpTo(options, session, (bin + 1) * BIN - TURN_TOKENS);
    const binTimes = times[bin] as BinTimes;
    const previousTimes = times[bin - 1];
    const timedBefore = previousTimes?.ms.length ?? 0;
    for (let turn = 0; turn < turns; turn++) {
      if (previousTimes !== undefined) await timeTurn(options, previousSession, bin - 1, previousTimes);
      await timeTurn(options, session, bin, binTimes);
    }
    if (previousTimes !== undefined) growths.push(ratioOf(binTimes.ms, previousTimes.ms.slice(timedBefore)));
    onProgress((bin + 1) * BIN, count * BIN);
  }
  const bins = times.map(({ ms, rows, rowsFull }, bin) => {
    return { from: bin * BIN, ms: spreadOf(ms), growth: growths[bin - 1] ?? null, fullAttentionShare: rowsFull / rows };
  });
  return { attention, bin: BIN, bins, largestJump: findLargestJump(bins) };
}

export function findLargestJump(bins: readonly { from: number; growth: Spread | null }[]): StepsResult['largestJump'] {
  let largest: StepsResult['largestJump'] = null;
  for (const { from, growth } of bins) {
    if (growth !== null && growth.median > (largest?.growth ?? 0)) largest = { growth: growth.median, at: from };
  }
  return largest;
}

async function readUpTo({ attention, tokens, signal }: StepsOptions, session: Session, end: number): Promise<void> {
  const options = { attention, chunkTokens: 2 * BIN, shareSamples: true, logits: false, signal };
  for await (const _ of session.evaluate(tokens.subarray(session.tokens.length, end), options));
}

/** Decodes the last tokens of a bin, and forgets them again. */
async function timeTurn(
  { attention, tokens, signal }: StepsOptions,
  session: Session,
  bin: number,
  binTimes: BinTimes,
): Promise<void> {
  const end = (bin + 1) * BIN;
  const next = tokens.subarray(end - TURN_TOKENS, end);
  let started = performance.now();
  for await (const { attention: report } of session.evaluate(next, { attention, chunkTokens: 1, signal })) {
    binTimes.ms.push(performance.now() - started);
    binTimes.rowsFull += report.rowsFull;
    binTimes.rows += report.rows;
    started = performance.now();
  }
  session.truncate(end - TURN_TOKENS);
}

async function warmUp({ attention, tokens, signal }: StepsOptions, session: Session): Promise<void> {
  for await (const _ of session.evaluate(tokens.subarray(0, WARM_UP), { attention, chunkTokens: 1, signal }));
  session.truncate(0);
}
