/**
 * Reading a long text in bounded memory: how fast it goes at several lengths, what the process takes there, and how much of
 * the softmax is gone. At each length some tokens are generated; then reading goes on behind them.
 */
import type { BoundedSession, BoundedStep, Model } from '@keysieve/llm';
import type { PolicySpec } from 'keysieve';
import { argmax } from '../numerics/softmax.ts';
import { type WorkOptions, workOf } from '../work.ts';

/** Tokens before each length whose reading is timed. */
const MEASURED_TOKENS = 2048;
/** Tokens that are generated at each length. */
export const GENERATED_TOKENS = 32;

export interface BenchBoundedOptions extends WorkOptions {
  /** With a context of the longest length and `GENERATED_TOKENS` for each. */
  model: Model;
  /** What is read, from the beginning again as often as it takes. */
  text: string;
  /** An eviction with remains, and a budget that does not grow. */
  attention: PolicySpec;
  /** Lengths at which something is measured, ascending. */
  lengths: readonly number[];
}

/** What was measured at one length. */
export interface BoundedLength {
  tokens: number;
  /** Tokens a second: of the last 2,048 that were read, and of those that were generated behind them. */
  readPerSecond: number;
  generatedPerSecond: number;
  /** Bytes of kept keys, remains and buffers; of the whole process now, and at most so far. */
  bytes: number;
  residentBytes: number;
  peakBytes: number;
  /** Share of the softmax that is gone, on average over heads and the tokens measured: estimated, and at least. */
  gone: number;
  goneAtLeast: number;
}

export interface BoundedResult {
  attention: PolicySpec;
  lengths: BoundedLength[];
}

/** Throws what `createBoundedSession` and `read` throw. */
export async function benchBounded(options: BenchBoundedOptions): Promise<BoundedResult> {
  const { model, attention } = options;
  const work = workOf(options);
  const text = model.tokenizer.encode(options.text, { special: false });
  await using session = await model.createBoundedSession({ attention });
  const total = Math.max(...options.lengths);
  const read = async (to: number) => {
    const from = session.length;
    const tokens = Int32Array.from({ length: to - from }, (_, i) => text[(from + i) % text.length] as number);
    const onProgress = (done: number) => work.onProgress('reading', from + done, total);
    return session.read(tokens, { signal: work.signal, onProgress });
  };
  const lengths: BoundedLength[] = [];
  for (const tokens of options.lengths) {
    if (tokens - MEASURED_TOKENS > session.length) await read(tokens - MEASURED_TOKENS);
    const measured = tokens - session.length;
    const started = performance.now();
    const step = await read(tokens);
    const readMs = performance.now() - started;
    const generatedMs = await generate(session, step, work.signal);
    const { report } = step;
    lengths.push({
      tokens,
      readPerSecond: (1000 * measured) / readMs,
      generatedPerSecond: (1000 * GENERATED_TOKENS) / generatedMs,
      bytes: session.bytes,
      residentBytes: process.memoryUsage.rss(),
      peakBytes: process.resourceUsage().maxRSS * 1024,
      gone: report.tailMass.sum / report.rows,
      goneAtLeast: report.goneAtLeast.sum / report.rows,
    });
  }
  return { attention, lengths };
}

/** Generates the likeliest tokens. Gives the milliseconds that it took. */
async function generate(session: BoundedSession, before: BoundedStep, signal: AbortSignal): Promise<number> {
  const started = performance.now();
  let step = before;
  for (let i = 0; i < GENERATED_TOKENS; i++) step = await session.read(Int32Array.of(argmax(step.logits)), { signal });
  return performance.now() - started;
}
