/**
 * The time of a token against its position, in bins of consecutive positions: to find where it jumps.
 *
 * Other work on a machine changes times more than a bin does, and for minutes. So each bin is timed against the one
 * before it, in turn: two sessions read the text up to neighbouring bins, and decode the last tokens of their bins again
 * and again. What counts is the ratio of the two, turn by turn.
 */
import type { Model, Session } from '@keysieve/llm';
import type { PolicySpec } from 'keysieve';
import { ratioOf, type Spread, spreadOf } from '../numerics/spread.ts';
import { type Work, type WorkOptions, workOf } from '../work.ts';

/** What is timed. */
export interface BenchStepsOptions extends WorkOptions {
  model: Model;
  attention: PolicySpec;
  /** Tokens of the text, up to the last position that is timed. */
  tokens: Int32Array;
  /** Times that two neighbouring bins take turns. */
  turns: number;
}

/** Times of tokens, bin by bin. */
export interface StepsResult {
  attention: PolicySpec;
  /** Tokens of a bin. */
  bin: number;
  /**
   * Positions from `from` to `from + bin`: milliseconds of a token, the ratio to the bin before (null for the first), and
   * the share of the heads with full attention.
   */
  bins: { from: number; ms: Spread; growth: Spread | null; fullAttentionShare: number }[];
  /** The largest median ratio, and the position where it is: 1.2 is a fifth more. Null with a single bin. */
  largestJump: { growth: number; at: number } | null;
}

const BIN = 256;
/** Tokens at the end of a bin that are decoded in a turn. */
const TURN_TOKENS = 8;
/** Tokens that are decoded before anything is timed, while the runtime compiles. */
const WARM_UP = 64;

type TimedText = Pick<BenchStepsOptions, 'attention' | 'tokens'> & Work;

interface BinTimes {
  ms: number[];
  rowsFull: number;
  rows: number;
}

/** Reads the text twice, and times the tokens at the end of each bin. */
export async function benchSteps(options: BenchStepsOptions): Promise<StepsResult> {
  const { model, attention, tokens, turns } = options;
  const work = workOf(options);
  const timed: TimedText = { attention, tokens, ...work };
  await using even = await model.createSession({ attention, prefill: attention });
  await using odd = await model.createSession({ attention, prefill: attention });
  const count = Math.floor(tokens.length / BIN);
  const times = Array.from({ length: count }, (): BinTimes => ({ ms: [], rowsFull: 0, rows: 0 }));
  const growths: Spread[] = [];
  if (count > 0) await warmUp(timed, even);
  for (let bin = 0; bin < count; bin++) {
    const [session, previousSession] = bin % 2 === 0 ? ([even, odd] as const) : ([odd, even] as const);
    await readUpTo(timed, session, (bin + 1) * BIN - TURN_TOKENS);
    const binTimes = times[bin] as BinTimes;
    const previousTimes = times[bin - 1];
    const timedBefore = previousTimes?.ms.length ?? 0;
    for (let turn = 0; turn < turns; turn++) {
      if (previousTimes !== undefined) await timeTurn(timed, previousSession, bin - 1, previousTimes);
      await timeTurn(timed, session, bin, binTimes);
    }
    if (previousTimes !== undefined) growths.push(ratioOf(binTimes.ms, previousTimes.ms.slice(timedBefore)));
    work.onProgress('reading and decoding', (bin + 1) * BIN, count * BIN);
  }
  const bins = times.map(({ ms, rows, rowsFull }, bin) => {
    return { from: bin * BIN, ms: spreadOf(ms), growth: growths[bin - 1] ?? null, fullAttentionShare: rowsFull / rows };
  });
  return { attention, bin: BIN, bins, largestJump: findLargestJump(bins) };
}

/** The bin whose time grew most over the bin before. */
export function findLargestJump(bins: readonly { from: number; growth: Spread | null }[]): StepsResult['largestJump'] {
  let largest: StepsResult['largestJump'] = null;
  for (const { from, growth } of bins) {
    if (growth !== null && growth.median > (largest?.growth ?? 0)) largest = { growth: growth.median, at: from };
  }
  return largest;
}

async function readUpTo({ attention, tokens, signal }: TimedText, session: Session, end: number): Promise<void> {
  const options = { attention, chunkTokens: 2 * BIN, shareSamples: true, logits: false, signal };
  for await (const _ of session.evaluate(tokens.subarray(session.tokens.length, end), options));
}

/** Decodes the last tokens of a bin, and takes them out of the cache again. */
async function timeTurn(
  { attention, tokens, signal }: TimedText,
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

async function warmUp({ attention, tokens, signal }: TimedText, session: Session): Promise<void> {
  for await (const _ of session.evaluate(tokens.subarray(0, WARM_UP), { attention, chunkTokens: 1, signal }));
  session.truncate(0);
}
