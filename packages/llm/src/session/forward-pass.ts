/**
 * A pass through a model for the tokens of one session or of several: the dense layers run once for the rows of all of
 * them, the attention a session at a time.
 */
import { type Attention, type AttentionReport, addReport, emptyReport, type Policy, type PolicySpec } from 'keysieve';
import { requireFiniteLogits } from '../model/forward-checks.ts';
import type { Attend, Projections, RequestedLogits, TransformerSegments } from '../model/index.ts';
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
}

/** The attention of one layer to some consecutive tokens. */
export interface AttentionEvent {
  /** Index of the layer in its cache: layers with a window or a soft cap, which read all keys, are not counted. */
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
  const { sequence, tokens, position, report, attentionMs, failure } = rows;
  try {
    if (failure !== undefined) throw failure.error;
    if (logits !== undefined) requireFiniteLogits(logits);
    const end = position + keepRows(rows, logits);
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
function attendAll({ config }: TransformerSegments, running: readonly RunningRows[], rows: number): Attend {
  const { heads, keyValueHeads, headDim } = config;
  const width = heads * headDim;
  const outputs = new Float32Array(rows * width);

  return async (modelLayer, projections) => {
    // Waking the threads once for all of them: for each, it would cost as much as its attention.
    running[0]?.sequence.attention.prewakeThreads(running.length);
    for (const each of running) {
      const { firstRow, tokens, failure } = each;
      const rowsOf = (matrix: Float32Array, rowWidth: number) =>
        matrix.subarray(firstRow * rowWidth, (firstRow + tokens.length) * rowWidth);
      const target = rowsOf(outputs, width);
      const ownProjections = {
        q: rowsOf(projections.q, width),
        k: rowsOf(projections.k, keyValueHeads * headDim),
        v: rowsOf(projections.v, keyValueHeads * headDim),
      };
      try {
        if (failure === undefined) attendLayer(each, modelLayer, ownProjections, target);
      } catch (error) {
        // Alone, it has no use for the rest of the pass.
        if (running.length === 1) throw error;
        each.failure = { error };
      }
      // Rows do not see each other, but numbers that are not finite need not be computed with.
      if (each.failure !== undefined) target.fill(0);
    }
    return outputs;
  };
}

/** The attention of one layer for the rows of one sequence, into `outputs`. */
function attendLayer(rows: RunningRows, modelLayer: number, { q, k, v }: Projections, outputs: Float32Array): void {
  const { sequence, position, policy, shareSamples, report, onAttention } = rows;
  const { attention, layer, readsAllKeys } = sequence.caches.placeOf(modelLayer);
  const started = performance.now();
  attention.cache.write(layer, position, k, v);
  const { report: layerReport } = attention.attend({ layer, position, queries: q, policy, shareSamples, outputs });
  addReport(report, layerReport);
  rows.attentionMs += performance.now() - started;
  if (!readsAllKeys) onAttention?.({ layer, position, queries: q, outputs, report: layerReport, attention });
}
