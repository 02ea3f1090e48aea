/**
 * A pass through a model for the tokens of one session or of several: the dense layers run once for the rows of all of
 * them, and the attention of all of them in one job a layer.
 */
import { type Attention, type AttentionReport, addReport, emptyReport, type Policy, type PolicySpec } from 'keysieve';
import { type AttendOutcome, attendTogether, type SequenceRequest } from 'keysieve/engine';
import { requireFiniteLogits } from '../model/forward-checks.ts';
import type { Attend, RequestedLogits, TransformerSegments } from '../model/index.ts';
import type { LayerCaches } from './layer-caches.ts';
import type { PassTracer } from './trace.ts';

/** What the passes of one session work on: its caches, and the tokens that are in them. */
export interface Sequence {
  readonly caches: LayerCaches;
  /** `caches.primary` */
  readonly attention: Attention;
  readonly tokens: number[];
  readonly tracer: PassTracer | undefined;
}

/** The next tokens of a sequence. */
export interface SequenceRows {
  sequence: Sequence;
  tokens: Int32Array;
  policy: Policy | PolicySpec;
  /** Whether the tokens may share what they read, as those of a prompt do. */
  shareSamples: boolean;
  logits: RequestedLogits;
  /**
   * Called with the logits of each row in turn, when its token is among those of the sequence, where all rows have logits.
   * Where it says false, the rows behind are taken back.
   */
  goesOn?: ((logits: Float32Array, row: number) => boolean) | undefined;
  onAttention?: ((event: AttentionEvent) => void) | undefined;
  /** Whether nothing of the pass is kept: the sequence is afterwards what it was before. */
  rehearsal?: boolean | undefined;
}

/** The attention of one layer to some consecutive tokens. Layers with a window or a soft cap, which read all keys, have none. */
export interface AttentionEvent {
  /** Index of the layer in the model. */
  modelLayer: number;
  /** Index of the layer in `attention`, which has those of one kind only. */
  layer: number;
  /** Position of the first token. */
  position: number;
  /** Queries after RoPE, not scaled, and the outputs of the heads: (count, heads, headDim) each, valid during the call. */
  queries: Float32Array;
  outputs: Float32Array;
  /** What these heads read, and how exact they say that they are. */
  report: AttentionReport;
  /** To attend again, in another way, and to read keys and values. */
  attention: Attention;
}

/** Result of the rows of one sequence. */
export interface Step {
  /** Logits of the last token (vocabulary), of all tokens (tokens, vocabulary), or none: as requested. */
  logits: Float32Array;
  report: AttentionReport;
  /** Milliseconds of the attention: of that of the pass, the share of its rows. */
  attentionMs: number;
}

/** What became of the rows of one sequence. */
export type PassOutcome = { step: Step } | { error: unknown };

/** The rows of a sequence while the pass runs. */
interface RunningRows extends SequenceRows {
  /** Number of the request. */
  index: number;
  /** Position of the first token. */
  position: number;
  /** Number of the first row among those of the pass. */
  firstRow: number;
  report: AttentionReport;
  attentionMs: number;
  /** Why its attention could not be done; the other sequences go on. */
  failure: { error: unknown } | undefined;
}

/**
 * Runs the rows of each sequence through the model and into its cache; an outcome for each. A sequence without an error
 * has all of its tokens then, one with an error none of them. What fails for all, such as the backend or an abort, is
 * thrown, and then no sequence has any.
 */
export async function forwardPass(
  segments: TransformerSegments,
  requests: readonly SequenceRows[],
  signal?: AbortSignal,
): Promise<PassOutcome[]> {
  const running: RunningRows[] = [];
  const started = performance.now();
  const outcomes: PassOutcome[] = [];
  let rows = 0;
  for (const [index, request] of requests.entries()) {
    const { sequence, tokens } = request;
    const position = sequence.tokens.length;
    try {
      sequence.caches.reserve(tokens.length);
    } catch (error) {
      sequence.caches.truncate(position);
      outcomes[index] = { error };
      continue;
    }
    const state = { report: emptyReport(), attentionMs: 0, failure: undefined };
    running.push({ ...request, ...state, index, position, firstRow: rows });
    rows += tokens.length;
  }
  if (running.length === 0) return outcomes;
  let logits: readonly (Float32Array | undefined)[];
  try {
    logits = await segments.forwardRuns(running, attendAll(segments, running, rows), signal);
  } catch (error) {
    for (const each of running) undo(each);
    throw error;
  }
  const passMs = performance.now() - started;
  for (const [i, each] of running.entries()) outcomes[each.index] = finish(each, logits[i], passMs);
  return outcomes;
}

/** Runs the rows of one sequence. Throws what became of them. */
export async function forwardSequence(
  segments: TransformerSegments,
  rows: SequenceRows,
  signal?: AbortSignal,
): Promise<Step> {
  const [outcome] = await forwardPass(segments, [rows], signal);
  return stepOf(outcome as PassOutcome);
}

/** The step of an outcome. Throws its error. */
export function stepOf(outcome: PassOutcome): Step {
  if ('error' in outcome) throw outcome.error;
  return outcome.step;
}

function undo({ sequence, position }: RunningRows): void {
  sequence.tokens.length = Math.min(sequence.tokens.length, position);
  sequence.caches.truncate(position);
}

/** Makes the tokens of a sequence part of its cache. */
function finish(rows: RunningRows, logits: Float32Array | undefined, passMs: number): PassOutcome {
  const { sequence, tokens, position, report, attentionMs, rehearsal, failure } = rows;
  try {
    if (failure !== undefined) throw failure.error;
    if (logits !== undefined) requireFiniteLogits(logits);
    const end = rehearsal ? position : position + keepRows(rows, logits);
    sequence.caches.commit(end);
    if (end < position + tokens.length) sequence.caches.truncate(end);
  } catch (error) {
    undo(rows);
    return { error };
  }
  sequence.tracer?.endPass(position, tokens.length, passMs, attentionMs);
  return { step: { logits: logits ?? new Float32Array(0), report, attentionMs } };
}

/** Adds the tokens of the rows that are kept to those of the sequence. Returns their number. */
function keepRows({ sequence, tokens, goesOn }: RunningRows, logits: Float32Array | undefined): number {
  const width = (logits?.length ?? 0) / tokens.length;
  for (const [row, token] of tokens.entries()) {
    sequence.tokens.push(token);
    if (goesOn?.(logits?.subarray(row * width, (row + 1) * width) as Float32Array, row) === false) return row + 1;
  }
  return tokens.length;
}

/** The attention of a layer for the rows of all sequences. */
function attendAll({ config }: TransformerSegments, running: readonly RunningRows[], rowCount: number): Attend {
  const { heads, keyValueHeads, headDim } = config;
  const width = heads * headDim;
  const outputs = new Float32Array(rowCount * width);

  return async (modelLayer, projections) => {
    const rowsOf = (matrix: Float32Array, { firstRow, tokens }: RunningRows, rowWidth: number) =>
      matrix.subarray(firstRow * rowWidth, (firstRow + tokens.length) * rowWidth);
    const engines = new Set(running.map(({ sequence }) => sequence.caches.placeOf(modelLayer).attention.engine));
    // Waking the threads takes some time: they wake while keys are written.
    for (const engine of [...engines].slice(0, 1)) engine.prewakeThreads(engines.size);
    const started = performance.now();
    const requests: LayerRequest[] = [];
    for (const rows of running) {
      if (rows.failure !== undefined) continue;
      const { position, policy, shareSamples } = rows;
      const { attention, layer, readsAllKeys } = rows.sequence.caches.placeOf(modelLayer);
      const [queries, target] = [rowsOf(projections.q, rows, width), rowsOf(outputs, rows, width)];
      const [k, v] = [projections.k, projections.v].map((each) => rowsOf(each, rows, keyValueHeads * headDim));
      try {
        attention.cache.write(layer, position, k as Float32Array, v as Float32Array);
      } catch (error) {
        rows.failure = { error };
        continue;
      }
      const request = { attention, layer, position, queries, policy, shareSamples, outputs: target };
      requests.push({ ...request, rows, modelLayer, readsAllKeys });
    }
    const outcomes = attendTogether(requests);
    const milliseconds = performance.now() - started;
    for (const [i, request] of requests.entries()) {
      takeOutcome(request, outcomes[i] as AttendOutcome, milliseconds / rowCount);
    }
    // Alone, it has no use for the rest of the pass.
    const [first] = running;
    if (running.length === 1 && first?.failure !== undefined) throw first.failure.error;
    for (const rows of running) {
      // Rows do not see each other, but numbers that are not finite need not be computed with.
      if (rows.failure !== undefined) rowsOf(outputs, rows, width).fill(0);
    }
    return outputs;
  };
}

/** The attention of a layer for the rows of one sequence. */
interface LayerRequest extends SequenceRequest {
  rows: RunningRows;
  modelLayer: number;
  readsAllKeys: boolean;
}

/** Notes what the attention of a layer gave for the rows of one sequence, and shows it. */
function takeOutcome(request: LayerRequest, outcome: AttendOutcome, rowMs: number): void {
  const { rows, attention, modelLayer, layer, position, queries, readsAllKeys } = request;
  if ('error' in outcome) {
    rows.failure = outcome;
    return;
  }
  const { outputs, report } = outcome;
  addReport(rows.report, report);
  rows.attentionMs += rowMs * rows.tokens.length;
  try {
    if (!readsAllKeys) rows.onAttention?.({ modelLayer, layer, position, queries, outputs, report, attention });
  } catch (error) {
    rows.failure = { error };
  }
}
