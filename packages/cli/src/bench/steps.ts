/** Time of a token against its position, in bins of neighbouring positions: to find where it jumps. */
import type { Model } from '@keysieve/llm';
import type { PolicySpec } from 'keysieve';
import { type Spread, spreadOf } from './spread.ts';

export interface StepsOptions {
  model: Model;
  attention: PolicySpec;
  /** The text, as many as the last position that is timed. */
  tokens: Int32Array;
  /** Tokens that are timed at the end of each bin. */
  samples: number;
  signal: AbortSignal;
  onProgress(done: number, total: number): void;
}

export interface StepsResult {
  attention: PolicySpec;
  /** Tokens of a bin. */
  bin: number;
  /** Positions from `from` to `from + bin`, and milliseconds of a token there. */
  bins: { from: number; ms: Spread; denseShare: number }[];
  /** The largest growth of the median from one bin to the next, and where: .2 is a fifth more. */
  largestStep: { growth: number; at: number };
}

const BIN = 256;

/** Reads the text bin by bin; the last tokens of each are decoded one by one, and timed. */
export async function benchSteps({
  model,
  attention,
  tokens,
  samples,
  signal,
  onProgress,
}: StepsOptions): Promise<StepsResult> {
  await using session = await model.createSession({ attention, prefill: attention });
  const bins: StepsResult['bins'] = [];
  for (let from = 0; from + BIN <= tokens.length; from += BIN) {
    const read = tokens.subarray(from, from + BIN - samples);
    const options = { attention, signal };
    for await (const _ of session.evaluate(read, { ...options, chunkTokens: BIN, sharing: true, logits: false }));
    const times: number[] = [];
    const next = tokens.subarray(from + BIN - samples, from + BIN);
    let [dense, rows] = [0, 0];
    let started = performance.now();
    for await (const { attention: report } of session.evaluate(next, { ...options, chunkTokens: 1 })) {
      times.push(performance.now() - started);
      dense += report.rowsDense;
      rows += report.rows;
      started = performance.now();
    }
    bins.push({ from, ms: spreadOf(times), denseShare: dense / rows });
    onProgress(from + BIN, tokens.length);
  }
  return { attention, bin: BIN, bins, largestStep: largestStepOf(bins) };
}

export function largestStepOf(bins: readonly { from: number; ms: Spread }[]): StepsResult['largestStep'] {
  let largest = { growth: Number.NEGATIVE_INFINITY, at: 0 };
  for (const [i, { from, ms }] of bins.entries()) {
    const before = bins[i - 1];
    if (before === undefined) continue;
    const growth = ms.median / before.ms.median - 1;
    if (growth > largest.growth) largest = { growth, at: from };
  }
  return largest;
}
