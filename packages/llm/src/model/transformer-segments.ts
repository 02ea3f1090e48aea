/**
 * The dense half of a model: everything but its attention, as segments on ONNX Runtime. `forward` runs them one after
 * the other and asks the caller for the attention between two of them.
 */
import { availableParallelism } from 'node:os';
import { llmError } from '../errors.ts';
import type { GgufFile } from '../gguf/index.ts';
import { dequantize } from '../gguf/index.ts';
import type { MatmulPrecision, PreparedWeights, PrepareProgress, Segment, WeightsMemory } from '../onnx/index.ts';
import {
  detectInt8Signedness,
  floatTensor,
  int32Tensor,
  loadSegment,
  prepareWeights,
  throwIfAborted,
  weightsMemory,
} from '../onnx/index.ts';
import type { DecoderGraphs } from './architectures/architecture.ts';
import { io } from './architectures/architecture.ts';
import { architectureOf } from './architectures/index.ts';
import type { ModelConfig } from './config.ts';
import { checkPositiveInteger, checkTokens, requireFiniteLogits } from './forward-checks.ts';
import { createRope, type Rope, type Rotations } from './rope.ts';
import { type RowInputs, type RowOutputs, runRows, type SegmentPair } from './row-blocks.ts';

/** What the attention of one layer gets. The next layer's may lie in the same arrays: copy what is to be kept. */
export interface Projections {
  /** Queries after RoPE, not scaled: (tokens, heads * headDim) */
  q: Float32Array;
  /** Keys after RoPE: (tokens, keyValueHeads * headDim) */
  k: Float32Array;
  /** Values: (tokens, keyValueHeads * headDim) */
  v: Float32Array;
}

/**
 * The attention of one layer: outputs of all heads, (tokens, heads * headDim). Called once for each layer, in order,
 * also where no logits are wanted: keys and values of all layers are the next tokens' context. What it is given is valid
 * until it is done, and what it gives must stay as it is until the next call.
 */
export type Attend = (layer: number, projections: Projections) => Float32Array | Promise<Float32Array>;

export interface ForwardOptions {
  /** The rows to give logits for: the last, all, none, or those from a row on. Default: `last`. */
  logits?: 'last' | 'all' | 'none' | { from: number };
  /** Stops the pass between two segments. */
  signal?: AbortSignal;
}

export interface TransformerSegments extends AsyncDisposable {
  readonly config: ModelConfig;
  readonly precision: MatmulPrecision;
  /** Most tokens that positions count to: past `config.contextLength`, RoPE is stretched. */
  readonly context: number;
  /**
   * Runs tokens at `startPosition` and the positions after it. Gives logits (rows, vocabularySize), or undefined where
   * none are wanted. Passes may overlap: nothing is shared between them.
   *
   * Throws `invalid-argument` for tokens outside the vocabulary, rows that are not there, or attention outputs of
   * another size; `prompt-too-long` past the context; `aborted`; `disposed`; `not-a-number` for logits that are not
   * finite; `backend-failed`; and what `attend` throws.
   */
  forward(
    tokens: Int32Array,
    startPosition: number,
    attend: Attend,
    options?: ForwardOptions,
  ): Promise<Float32Array | undefined>;
  /** Frees the weights; a second call does nothing. */
  dispose(): Promise<void>;
}

export interface SegmentLoadProgress {
  /** Those of preparing the weights, in bytes, and `load`, in segments. */
  phase: PrepareProgress['phase'] | 'load';
  done: number;
  total: number;
}

export interface TransformerSegmentsOptions {
  /**
   * `fp32` computes in float32; `a8` rounds activations to 8 bits before they meet quantised weights; `w8a8`
   * rounds those weights to 8 bits, too, for many tokens at once.
   */
  precision: MatmulPrecision;
  /** Threads of ONNX Runtime. Default: one for each core. */
  threads?: number;
  /** Most tokens. Default: what the model was trained for; RoPE is stretched past that. */
  context?: number;
  /** Where prepared weights are kept. Default: KEYSIEVE_CACHE, or `keysieve` in the user's cache folder. */
  cacheFolder?: string;
  onProgress?: (progress: SegmentLoadProgress) => void;
  signal?: AbortSignal;
}

/**
 * Prepares a model's weights (once: they are kept in the cache folder) and loads its segments. The GGUF file may be
 * closed afterwards.
 *
 * Throws `unsupported-architecture`, `unsupported-tensor-type`, `metadata-missing`, `gguf-invalid`, `tensor-missing`,
 * `tensor-shape-mismatch` and `not-a-number` for files that cannot be run; `cache-folder-unwritable`; `aborted`;
 * `backend-failed`; and what reading the file throws. Nothing stays behind then.
 */
export async function loadTransformerSegments(
  gguf: GgufFile,
  options: TransformerSegmentsOptions,
): Promise<TransformerSegments> {
  const { precision, threads = availableParallelism(), cacheFolder, onProgress, signal } = options;
  checkPositiveInteger('threads', threads);
  const architecture = architectureOf(gguf);
  const config = architecture.readConfig(gguf);
  const { context = config.contextLength } = options;
  checkPositiveInteger('context', context);
  const int8Signedness = precision === 'w8a8' ? await detectInt8Signedness() : 'unsigned';
  const graphs = architecture.buildGraphs(gguf, config, precision, int8Signedness);
  const rope = createRope(config, context, await readRopeFactors(gguf, graphs));
  const weights = await prepareWeights(gguf, graphs.weights, precision, { cacheFolder, onProgress, signal });
  const allGraphs = [...graphs.segments, ...graphs.wide];
  const loaded: Segment[] = [];
  try {
    for (const graph of allGraphs) {
      throwIfAborted(signal);
      loaded.push(await loadSegment(graph, { folder: weights.folder, threads }));
      onProgress?.({ phase: 'load', done: loaded.length, total: allGraphs.length });
    }
  } catch (error) {
    await releaseAll(loaded, weights);
    throw error;
  }
  const segments = graphs.segments.map((_, index): SegmentPair => {
    return { gemv: loaded[index] as Segment, gemm: loaded[graphs.segments.length + index] };
  });
  const release = () => releaseAll(loaded, weights);
  return createTransformerSegments({ config, precision, context, rope, segments, release });
}

/** What a model's weights will take, from its header alone. Throws as `loadTransformerSegments` does. */
export function inspectTransformerSegments(
  gguf: GgufFile,
  precision: MatmulPrecision,
): { config: ModelConfig; memory: WeightsMemory } {
  const architecture = architectureOf(gguf);
  const config = architecture.readConfig(gguf);
  const { weights, segments, wide } = architecture.buildGraphs(gguf, config, precision, 'unsigned');
  return { config, memory: weightsMemory(weights, precision, segments.length + wide.length) };
}

async function readRopeFactors(gguf: GgufFile, { ropeFactors }: DecoderGraphs): Promise<Float32Array | undefined> {
  return ropeFactors && dequantize(ropeFactors.type, await gguf.read(ropeFactors));
}

interface TransformerSegmentsParts {
  config: ModelConfig;
  precision: MatmulPrecision;
  context: number;
  rope: Rope;
  /** Layers + 1. */
  segments: readonly SegmentPair[];
  release(): Promise<void>;
}

function createTransformerSegments({
  config,
  precision,
  context,
  rope,
  segments,
  release,
}: TransformerSegmentsParts): TransformerSegments {
  const { layers, hiddenSize, heads, headDim, vocabularySize } = config;
  let disposed = false;
  /** Arrays for the outputs of layers, in two turns, of passes that are over: those that come use them again. */
  const bufferPool: (readonly [RowOutputs, RowOutputs])[] = [];

  async function forward(
    tokens: Int32Array,
    startPosition: number,
    attend: Attend,
    { logits = 'last', signal }: ForwardOptions = {},
  ): Promise<Float32Array | undefined> {
    const count = tokens.length;
    checkTokens(tokens, startPosition, { vocabularySize, context });
    const firstRow = firstLogitsRow(logits, count);
    const run = async (segmentIndex: number, from: number, inputs: RowInputs, outputs: RowOutputs) => {
      try {
        await runRows(segments[segmentIndex] as SegmentPair, { from, to: count }, inputs, outputs, () =>
          throwIfAborted(signal),
        );
      } catch (error) {
        // Disposing takes the segments away from passes that are at work.
        throw disposed ? disposedError() : error;
      }
    };
    if (disposed) throw disposedError();

    const rotations = rotationInputs(rope(startPosition, count), count);
    let inputs: RowInputs = (from, to) => ({ [io.tokens]: int32Tensor(tokens.subarray(from, to), [to - from]) });
    // A layer reads the residual that the one before has written: they write to different arrays.
    const pingPong = bufferPool.pop() ?? [{}, {}];
    try {
      for (let layer = 0; layer < layers; layer++) {
        const outputs = pingPong[layer % 2] as RowOutputs;
        await run(layer, 0, mergeInputs(inputs, rotations), outputs);
        const { [io.query]: q, [io.key]: k, [io.value]: v, [io.nextResidual]: residual } = outputs;
        const attentionOutput = await attend(layer, { q, k, v } as Projections);
        checkAttentionOutput(attentionOutput, count);
        inputs = mergeInputs(
          rowInput(io.attentionOutput, attentionOutput, heads * headDim),
          rowInput(io.residual, residual as Float32Array, hiddenSize),
        );
      }
      if (firstRow === count) return undefined;
      // The rows of the last segment are independent of each other, so it runs only those that are wanted.
      const outputs: RowOutputs = {};
      await run(layers, firstRow, inputs, outputs);
      const result = outputs[io.logits] as Float32Array;
      requireFiniteLogits(result);
      return result;
    } finally {
      bufferPool.push(pingPong);
    }
  }

  function checkAttentionOutput(attentionOutput: Float32Array, count: number): void {
    const expected = count * heads * headDim;
    if (attentionOutput.length === expected) return;
    throw llmError({
      code: 'invalid-argument',
      problem: 'The attention gave outputs of another size.',
      found: `${attentionOutput.length} values`,
      remedy: `Give ${expected}: ${count} tokens of ${heads} heads of ${headDim} values.`,
    });
  }

  async function dispose(): Promise<void> {
    if (disposed) return;
    disposed = true;
    await release();
  }

  return { config, precision, context, forward, dispose, [Symbol.asyncDispose]: dispose };
}

/** The rows of a matrix with rows of `width` values. */
function rowInput(name: string, matrix: Float32Array, width: number): RowInputs {
  return (from, to) => ({ [name]: floatTensor(matrix.subarray(from * width, to * width), [to - from, width]) });
}

function rotationInputs({ cos, sin }: Rotations, count: number): RowInputs {
  const pairs = cos.length / count;
  const rows = (angles: Float32Array, from: number, to: number) =>
    floatTensor(angles.subarray(from * pairs, to * pairs), [1, to - from, pairs]);
  return (from, to) => ({ [io.cos]: rows(cos, from, to), [io.sin]: rows(sin, from, to) });
}

function mergeInputs(a: RowInputs, b: RowInputs): RowInputs {
  return (from, to) => ({ ...a(from, to), ...b(from, to) });
}

/** The first row that logits are wanted for; `count` where there is none. */
function firstLogitsRow(logits: NonNullable<ForwardOptions['logits']>, count: number): number {
  if (logits === 'last') return count - 1;
  if (logits === 'all') return 0;
  if (logits === 'none') return count;
  if (Number.isInteger(logits.from) && logits.from >= 0 && logits.from < count) return logits.from;
  throw llmError({
    code: 'invalid-argument',
    problem: 'The logits are wanted from a row that is not there.',
    found: logits.from,
    remedy: `Give a row from 0 to ${count - 1}.`,
  });
}

async function releaseAll(segments: readonly Segment[], weights: PreparedWeights): Promise<void> {
  for (const segment of segments) await segment.release();
  await weights.release();
}

function disposedError() {
  return llmError({ code: 'disposed', problem: 'The model is disposed of.', remedy: 'Load it again.' });
}
