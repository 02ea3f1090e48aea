/** Reads one text and samples its queries on the way: every layer is measured right after it has attended. */
import type { AttentionEvent, Session } from '@keysieve/llm';
import { type Encoding, type PolicySpec, policyEncodings } from 'keysieve';
import type { LawTally } from '../law/tally.ts';
import { mean } from '../numerics/statistics.ts';
import type { SampledQuery } from './design.ts';

/** Tokens of a pass. */
const CHUNK_TOKENS = 512;

/** How far a text has been measured, and what that took: of reading it, and of sampling. */
export interface TextProgress {
  done: number;
  prefillMs: number;
  measureMs: number;
}

export interface MeasureTextOptions {
  session: Session;
  tokens: Int32Array;
  /** In the order of their positions. */
  queries: readonly SampledQuery[];
  tally: LawTally;
  /** Name of the policy that is tried. */
  policy: string;
  /** Where an earlier run came to. */
  resumeFrom: TextProgress;
  signal: AbortSignal;
  /** After each chunk. */
  onProgress(progress: TextProgress): Promise<void>;
}

/** The encodings that the session's cache must have: those of the policy, and page means. */
export const encodingsToMeasure = (policy: string): Encoding[] =>
  [policy, 'topk-means'].flatMap((each) => policyEncodings({ policy: each }));

/** Measures the text from where an earlier run came to; what that run had read is read again, without sampling it. */
export async function measureText(options: MeasureTextOptions): Promise<TextProgress> {
  const { session, tokens, resumeFrom, signal, onProgress } = options;
  session.truncate(0);
  const reading = { chunkTokens: CHUNK_TOKENS, shareSamples: true, logits: false, signal };
  for await (const _ of session.evaluate(tokens.subarray(0, resumeFrom.done), reading));
  const progress = { ...resumeFrom };
  let sampling = 0;
  const onAttention = (event: AttentionEvent) => {
    const started = performance.now();
    measureLayer(options, event);
    sampling += performance.now() - started;
  };
  let started = performance.now();
  for await (const _ of session.evaluate(tokens.subarray(resumeFrom.done), { ...reading, onAttention })) {
    progress.prefillMs += performance.now() - started - sampling;
    progress.measureMs += sampling;
    progress.done = session.tokens.length;
    await onProgress({ ...progress });
    sampling = 0;
    started = performance.now();
  }
  return progress;
}

function measureLayer({ queries, tally, policy }: MeasureTextOptions, event: AttentionEvent): void {
  const { layer, position, attention } = event;
  const { headDim, keyValueHeads } = attention.cache.shape;
  const width = attention.heads * headDim;
  const count = event.queries.length / width;
  const dueQueries = queries.filter((query) => query.position >= position && query.position < position + count);
  if (dueQueries.length === 0) return;
  const [queryRows, exact] = [event.queries, event.outputs].map((rows) => {
    const gathered = new Float32Array(dueQueries.length * width);
    for (const [i, query] of dueQueries.entries()) {
      const at = (query.position - position) * width;
      gathered.set(rows.subarray(at, at + width), i * width);
    }
    return gathered;
  }) as [Float32Array, Float32Array];
  const positions = dueQueries.map((query) => query.position);
  const measurements = attention.measure({ layer, positions, queries: queryRows, outputs: exact, plan: tally.design });
  for (const [i, { position, length, index, trial }] of dueQueries.entries()) {
    const n = position + 1;
    for (let head = 0; head < attention.heads; head++) {
      const measurement = measurements[i * attention.heads + head];
      if (measurement !== undefined) tally.add(length, index, layer, head, n, measurement);
    }
    if (trial === undefined) continue;
    const row = (rows: Float32Array) => rows.subarray(i * width, (i + 1) * width);
    for (const [budget, keys] of tally.design.budgets.entries()) {
      if (2 * keys > n) break;
      const spec: PolicySpec = { policy, budget: `fixed:${keys}` };
      const request = { layer, position, queries: row(queryRows), policy: spec, keepBudget: true };
      const { outputs, report } = attention.attend(request);
      const squares = squaredErrors(outputs, row(exact), headDim);
      const group = squares.length / keyValueHeads;
      for (let keyValueHead = 0; keyValueHead < keyValueHeads; keyValueHead++) {
        const squaredError = mean(squares.slice(keyValueHead * group, (keyValueHead + 1) * group));
        const bytes = report.bytesRead / keyValueHeads;
        tally.addTrial({ length, index: trial, layer, keyValueHead, n, budget, squaredError, bytes });
      }
    }
  }
}

/** ||o' - o||^2 / ||o||^2 of each head. */
function squaredErrors(outputs: Float32Array, exact: Float32Array, headDim: number): number[] {
  return Array.from({ length: exact.length / headDim }, (_, head) => {
    let [difference, norm] = [0, 0];
    for (let i = head * headDim; i < (head + 1) * headDim; i++) {
      difference += ((outputs[i] as number) - (exact[i] as number)) ** 2;
      norm += (exact[i] as number) ** 2;
    }
    return difference === 0 ? 0 : difference / norm;
  });
}
