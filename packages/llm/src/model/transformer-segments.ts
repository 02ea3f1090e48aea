/**
 * The layers of a model other than its attention, as segments on ONNX Runtime. `forward` runs them one after the other
 * and asks the caller for the attention between two of them.
 */
import { BLOCK_PRODUCTS, floatTensor, int32Tensor } from '#onnx-runtime';
import { createSha256, usableProcessors } from '#platform';
import { llmError } from '../errors.ts';
import type { GgufFile } from '../gguf/index.ts';
import { dequantize } from '../gguf/index.ts';
import type { BlockProducts, MatmulPrecision, PrepareProgress, Segment, WeightsMemory } from '../onnx/index.ts';
import { detectInt8Signedness, loadSegment, prepareWeights, throwIfAborted, weightsMemory } from '../onnx/index.ts';
import { architectureOf } from './architectures/index.ts';
import type { ModelConfig } from './decoder/config.ts';
import { type Decoder, describeDecoder } from './decoder/decoder.ts';
import { createRope, type Rope, type RopeSpec, type Rotations, ropeFactorsFor } from './decoder/rope.ts';
import { buildGraphs, io } from './decoder/segments.ts';
import { checkPositiveInteger, checkTokens, requireFiniteLogits } from './forward-checks.ts';
import { type RowInputs, type RowOutputs, type RowRange, runRows, type SegmentPair } from './row-blocks.ts';
import {
  concatenate,
  joinTokens,
  logitRangesOf,
  type RequestedLogits,
  splitLogits,
  type TokenRun,
} from './token-runs.ts';

/** The inputs of one layer's attention. The next layer may use the same arrays: copy what is to be kept. */
export interface Projections {
  /** Queries after RoPE; their scores are still to be divided by sqrt(headDim): (tokens, heads * headDim) */
  q: Float32Array;
  /** Keys after RoPE: (tokens, keyValueHeads * headDim) */
  k: Float32Array;
  /** Values: (tokens, keyValueHeads * headDim) */
  v: Float32Array;
}

/**
 * The attention of one layer: outputs of all heads, (tokens, heads * headDim). Called once for each layer, in order,
 * even where no logits are requested, since the keys and values of all layers are the context of later tokens. Its
 * arguments, with the rows of all runs one after the other, are valid until it returns, and its result must not change
 * until the next call.
 */
export type Attend = (layer: number, projections: Projections) => Float32Array | Promise<Float32Array>;

/** Options of one pass through a model. */
export interface ForwardOptions {
  /** Default: `last`. */
  logits?: RequestedLogits;
  /** Stops the pass between two segments. */
  signal?: AbortSignal;
}

/** The non-attention layers of a model, loaded, with one call that runs them all. */
export interface TransformerSegments extends AsyncDisposable {
  readonly config: ModelConfig;
  readonly precision: MatmulPrecision;
  /** Maximum number of positions; past `config.contextLength`, RoPE is stretched. */
  readonly context: number;
  /** Tells rotations of positions from others (SHA-256, hexadecimal): what keys are turned by at this context. */
  readonly ropeFingerprint: string;
  /**
   * Runs tokens at `startPosition` and the positions after it. Returns logits (rows, vocabularySize), or undefined where
   * none are requested. Passes may overlap: they share no state.
   *
   * Throws `invalid-argument` for tokens outside the vocabulary, rows out of range, or attention outputs of the wrong
   * size; `prompt-too-long` past the context; `aborted`; `disposed`; `not-a-number` for logits that are not
   * finite; `backend-failed`; and what `attend` throws.
   */
  forward(
    tokens: Int32Array,
    startPosition: number,
    attend: Attend,
    options?: ForwardOptions,
  ): Promise<Float32Array | undefined>;
  /**
   * Runs tokens of several texts in one pass, so that the weights are read once for all of them. Returns the logits of
   * each run, (rows, vocabularySize), as they are: they may hold numbers that are not finite. Throws as `forward` does
   * otherwise.
   */
  forwardRuns(
    runs: readonly TokenRun[],
    attend: Attend,
    signal?: AbortSignal,
  ): Promise<readonly (Float32Array | undefined)[]>;
  /** Frees the weights; a second call does nothing. */
  dispose(): Promise<void>;
}

/** How far the segments of a model are prepared and loaded. */
export interface SegmentLoadProgress {
  /** The phases of preparing weights count bytes, `load` counts segments. */
  phase: PrepareProgress['phase'] | 'load';
  done: number;
  total: number;
}

/** Options of loading the segments of a model. */
export interface TransformerSegmentsOptions {
  /**
   * `fp32` computes in float32; `a8` quantizes activations to 8 bits where the weights are quantized; `w8a8` also
   * requantizes those weights to 8 bits for products of many tokens.
   */
  precision: MatmulPrecision;
  /** Threads of ONNX Runtime. Default: one per core. */
  threads?: number;
  /** Maximum number of tokens. Default: what the model was trained for; RoPE is stretched past that. */
  context?: number;
  /** Where prepared weights are kept. Default: KEYSIEVE_CACHE, or `keysieve` in the user's cache folder. */
  cacheFolder?: string;
  /** Whether prepared weights are read whole and compared with what was written. Default: samples of them. */
  verify?: boolean;
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
  const { precision, threads = await usableProcessors(), cacheFolder, verify, onProgress, signal } = options;
  checkPositiveInteger('threads', threads);
  const decoder = await readSinks(gguf, describeDecoder(gguf, architectureOf(gguf)));
  const { context = decoder.config.contextLength } = options;
  checkPositiveInteger('context', context);
  const int8Signedness = precision === 'w8a8' ? await detectInt8Signedness() : 'unsigned';
  const graphs = buildGraphs(decoder, { precision, int8Signedness, blockProducts: blockProductsOf(gguf) });
  const ropes = await readRopes(gguf, decoder, context);
  const prepared = await prepareWeights(gguf, graphs.weights, precision, { cacheFolder, verify, onProgress, signal });
  const allGraphs = [...graphs.segments, ...graphs.wide];
  const loaded: Segment[] = [];
  // Without the weights themselves, which may go once the sessions have theirs.
  const { release: releaseWeights } = prepared;
  try {
    for (const graph of allGraphs) {
      throwIfAborted(signal);
      loaded.push(await loadSegment(graph, { weights: prepared.weights, threads }));
      onProgress?.({ phase: 'load', done: loaded.length, total: allGraphs.length });
    }
  } catch (error) {
    await releaseAll(loaded, releaseWeights);
    throw error;
  }
  const segments = graphs.segments.map((_, index): SegmentPair => {
    return { gemv: loaded[index] as Segment, gemm: loaded[graphs.segments.length + index] };
  });
  const release = () => releaseAll(loaded, releaseWeights);
  return createTransformerSegments({ decoder, precision, context, ropes, segments, release });
}

/** The memory and the disk that a model's weights will take, from its header alone. Throws as `loadTransformerSegments` does. */
export function inspectTransformerSegments(
  gguf: GgufFile,
  precision: MatmulPrecision,
): { config: ModelConfig; memory: WeightsMemory; preparedBytes: number } {
  const decoder = describeDecoder(gguf, architectureOf(gguf));
  const blockProducts = blockProductsOf(gguf);
  const { weights, segments, wide } = buildGraphs(decoder, { precision, int8Signedness: 'unsigned', blockProducts });
  const memory = weightsMemory(weights, { precision, blockProducts }, segments.length + wide.length);
  return { config: decoder.config, memory, preparedBytes: weights.byteLength };
}

/** Most bytes of dequantized weights: WebAssembly has 4 GiB, and while a matrix is dequantized it is there several times. */
const MAX_DEQUANTIZED_BYTES = 1.5 * 1024 ** 3;

/** How this backend is to multiply by the blocks of a file: as floats only where these fit. */
function blockProductsOf({ tensors }: GgufFile): BlockProducts {
  let values = 0;
  for (const { dimensions } of tensors.values()) values += dimensions.reduce((product, size) => product * size, 1);
  return values * Float32Array.BYTES_PER_ELEMENT > MAX_DEQUANTIZED_BYTES ? 'as-blocks' : BLOCK_PRODUCTS;
}

/** The decoder with the values of its sinks. */
async function readSinks(gguf: GgufFile, decoder: Decoder): Promise<Decoder> {
  const layerAttention = await Promise.all(
    decoder.config.layerAttention.map(async (attention, layer) => {
      const tensor = decoder.sinks[layer];
      if (tensor === undefined) return attention;
      return { ...attention, sinks: [...dequantize(tensor.type, await gguf.read(tensor))] };
    }),
  );
  return { ...decoder, config: { ...decoder.config, layerAttention } };
}

/** RoPE of every layer, undefined for layers without; layers of one specification share it. */
async function readRopes(
  gguf: GgufFile,
  { config, traits }: Decoder,
  context: number,
): Promise<readonly (Rope | undefined)[]> {
  const ropes = new Map<RopeSpec, Rope>();
  const layers = Array.from({ length: config.layers }, (_, layer) => traits.rope(layer));
  for (const spec of layers) {
    if (spec === undefined || ropes.has(spec)) continue;
    const tensor = spec.factors && ropeFactorsFor(spec.factors, context);
    const factors = tensor && dequantize(tensor.type, await gguf.read(tensor));
    ropes.set(spec, createRope(spec, context, factors));
  }
  return layers.map((spec) => spec && ropes.get(spec));
}

interface TransformerSegmentsParts {
  decoder: Decoder;
  precision: MatmulPrecision;
  context: number;
  ropes: readonly (Rope | undefined)[];
  /** Layers + 1. */
  segments: readonly SegmentPair[];
  release(): Promise<void>;
}

function createTransformerSegments({
  decoder,
  precision,
  context,
  ropes,
  segments,
  release,
}: TransformerSegmentsParts): TransformerSegments {
  const { config, traits } = decoder;
  const { layers, hiddenSize, heads, headDim, vocabularySize } = config;
  let disposed = false;
  /** Output arrays of passes that are over, two sets that layers use in turn. Later passes use them again. */
  const bufferPool: (readonly [RowOutputs, RowOutputs])[] = [];

  async function forward(
    tokens: Int32Array,
    position: number,
    attend: Attend,
    { logits = 'last', signal }: ForwardOptions = {},
  ): Promise<Float32Array | undefined> {
    const [result] = await forwardRuns([{ tokens, position, logits }], attend, signal);
    if (result !== undefined) requireFiniteLogits(result);
    return result;
  }

  async function forwardRuns(
    runs: readonly TokenRun[],
    attend: Attend,
    signal?: AbortSignal,
  ): Promise<readonly (Float32Array | undefined)[]> {
    for (const { tokens, position } of runs) checkTokens(tokens, position, { vocabularySize, context });
    const logitRanges = logitRangesOf(runs);
    const tokens = joinTokens(runs);
    const count = tokens.length;
    const run = async (segmentIndex: number, rows: RowRange, inputs: RowInputs, outputs: RowOutputs) => {
      try {
        await runRows(segments[segmentIndex] as SegmentPair, rows, inputs, outputs, () => throwIfAborted(signal));
      } catch (error) {
        // Disposing takes the segments away from passes that are running.
        throw disposed ? disposedError() : error;
      }
    };
    if (disposed) throw disposedError();

    const positionInputs = createPositionInputs(ropes, traits.queryScale, runs);
    let inputs: RowInputs = (from, to) => ({ [io.tokens]: int32Tensor(tokens.subarray(from, to), [to - from]) });
    // A layer reads the residual that the one before wrote, so they write to different arrays.
    const pingPong = bufferPool.pop() ?? [{}, {}];
    try {
      let last: LastRows | undefined;
      for (let layer = 0; layer < layers; layer++) {
        const outputs = pingPong[layer % 2] as RowOutputs;
        await run(layer, { from: 0, to: count }, mergeInputs(inputs, positionInputs(layer)), outputs);
        const { [io.query]: q, [io.key]: k, [io.value]: v, [io.nextResidual]: residual } = outputs;
        const attentionOutput = await attend(layer, { q, k, v } as Projections);
        checkAttentionOutput(attentionOutput, count);
        last = { attentionOutput, residual: residual as Float32Array };
        inputs = lastInputs(last);
      }
      // Rows are independent of each other, so the last segment runs only those that are requested.
      const { rows, gathered } = gatherRows(logitRanges, last as LastRows);
      if (rows.from === rows.to) return runs.map(() => undefined);
      const outputs: RowOutputs = {};
      await run(layers, rows, gathered === undefined ? inputs : lastInputs(gathered), outputs);
      return splitLogits(logitRanges, outputs[io.logits] as Float32Array, vocabularySize);
    } finally {
      bufferPool.push(pingPong);
    }
  }

  const lastInputs = ({ attentionOutput, residual }: LastRows): RowInputs =>
    mergeInputs(
      rowInput(io.attentionOutput, attentionOutput, heads * headDim),
      rowInput(io.residual, residual, hiddenSize),
    );

  /** The rows of some ranges, as a range of what there is, or where they do not lie together, gathered. */
  function gatherRows(ranges: readonly RowRange[], last: LastRows): { rows: RowRange; gathered?: LastRows } {
    const nonEmpty = ranges.filter(({ from, to }) => from < to);
    const [first] = nonEmpty;
    if (first === undefined) return { rows: { from: 0, to: 0 } };
    const isTogether = nonEmpty.every(({ from }, i) => i === 0 || from === nonEmpty[i - 1]?.to);
    if (isTogether) return { rows: { from: first.from, to: (nonEmpty.at(-1) as RowRange).to } };
    const gather = (matrix: Float32Array, width: number) =>
      concatenate(nonEmpty.map(({ from, to }) => matrix.subarray(from * width, to * width)));
    const gathered = {
      attentionOutput: gather(last.attentionOutput, heads * headDim),
      residual: gather(last.residual, hiddenSize),
    };
    return { rows: { from: 0, to: nonEmpty.reduce((sum, { from, to }) => sum + to - from, 0) }, gathered };
  }

  function checkAttentionOutput(attentionOutput: Float32Array, count: number): void {
    const expected = count * heads * headDim;
    if (attentionOutput.length === expected) return;
    throw llmError({
      code: 'invalid-argument',
      problem: 'The attention returned outputs of the wrong size.',
      found: `${attentionOutput.length} values`,
      remedy: `Return ${expected}: ${count} tokens of ${heads} heads of ${headDim} values.`,
    });
  }

  async function dispose(): Promise<void> {
    if (disposed) return;
    disposed = true;
    await release();
  }

  return {
    config,
    precision,
    context,
    ropeFingerprint: fingerprintRopes(ropes),
    forward,
    forwardRuns,
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}

/** The rows of a matrix with rows of `width` values. */
function rowInput(name: string, matrix: Float32Array, width: number): RowInputs {
  return (from, to) => ({ [name]: floatTensor(matrix.subarray(from * width, to * width), [to - from, width]) });
}

/** What the last segment reads: the residual, and the outputs of the last attention. */
interface LastRows {
  attentionOutput: Float32Array;
  residual: Float32Array;
}

/** Positions whose rotations tell one RoPE from another. */
const TELLING_POSITIONS = [1, 1000];

function fingerprintRopes(ropes: readonly (Rope | undefined)[]): string {
  const hash = createSha256();
  for (const rope of ropes) {
    for (const position of TELLING_POSITIONS) {
      const { cos, sin } = rope?.(position, 1) ?? { cos: [], sin: [] };
      hash.update(JSON.stringify([...cos, ...sin]));
    }
  }
  return hash.digest();
}

/** The inputs of each layer that depend on positions alone: rotations of RoPE, scales of queries. */
function createPositionInputs(
  ropes: readonly (Rope | undefined)[],
  queryScale: ((position: number) => number) | undefined,
  runs: readonly TokenRun[],
): (layer: number) => RowInputs {
  const count = runs.reduce((sum, { tokens }) => sum + tokens.length, 0);
  const ofRuns = (values: (position: number, count: number) => Float32Array) =>
    concatenate(runs.map(({ tokens, position }) => values(position, tokens.length)));
  const scales =
    queryScale && ofRuns((start, length) => Float32Array.from({ length }, (_, row) => queryScale(start + row)));
  const scaleInputs: RowInputs = scales === undefined ? () => ({}) : rowInput(io.queryScale, scales, 1);
  const inputs = new Map<Rope | undefined, RowInputs>([[undefined, scaleInputs]]);
  for (const rope of ropes) {
    if (rope === undefined || inputs.has(rope)) continue;
    const rotations = runs.map(({ tokens, position }) => rope(position, tokens.length));
    const joined = {
      cos: concatenate(rotations.map(({ cos }) => cos)),
      sin: concatenate(rotations.map(({ sin }) => sin)),
    };
    inputs.set(rope, mergeInputs(rotationInputs(joined, count), scaleInputs));
  }
  return (layer) => inputs.get(ropes[layer]) as RowInputs;
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

async function releaseAll(segments: readonly Segment[], releaseWeights: () => Promise<void>): Promise<void> {
  for (const segment of segments) await segment.release();
  await releaseWeights();
}

export function disposedError() {
  return llmError({ code: 'disposed', problem: 'The model is disposed of.', remedy: 'Load it again.' });
}
