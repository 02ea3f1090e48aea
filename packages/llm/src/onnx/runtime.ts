/**
 * Runs segments on ONNX Runtime's CPU backend. All of its errors leave here as `backend-failed`.
 */
import * as ort from 'onnxruntime-node';
import { llmError } from '../errors.ts';
import type { Dimension, Graph } from './graph.ts';
import { disableTelemetry } from './telemetry.ts';

export interface SegmentOptions {
  /** The folder with the weights file. */
  folder: string;
  threads: number;
}

/** Tensors by the names of a segment's inputs. */
export type SegmentInputs = Readonly<Record<string, ort.Tensor>>;

/** A segment that is ready to run. */
export interface Segment {
  /** Shapes of its outputs, by their roles. */
  readonly shapes: ReadonlyMap<string, readonly Dimension[]>;
  /**
   * Values of all outputs, by their roles; the arrays are the caller's. An output that `targets` has a tensor for is
   * written there.
   */
  run(inputs: SegmentInputs, targets?: SegmentInputs): Promise<Record<string, Float32Array>>;
  release(): Promise<void>;
}

/**
 * Settings of every segment, chosen by measurement (SmolLM2-135M, 30 layers, ONNX Runtime 1.30):
 * - Threads that spin only while their own segment runs: pools that spin on slow the others down many times, and
 *   without spinning every operation waits for its threads to wake.
 * - Neither arena nor memory pattern: each segment would keep its largest activations (870 MB in all after a chunk
 *   of 512 tokens, against 60 MB), and the allocator of the system is as fast.
 * - Weights are mapped from their file; what a kernel packs anew replaces the mapped pages.
 */
function sessionOptions({ folder, threads }: SegmentOptions): ort.InferenceSession.SessionOptions {
  return {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    enableCpuMemArena: false,
    enableMemPattern: false,
    logSeverityLevel: 3,
    extra: {
      session: {
        intra_op: { allow_spinning: '1' },
        force_spinning_stop: '1',
        model_external_initializers_file_folder_path: folder,
      },
    },
  };
}

/** Loads a graph whose weights file lies in `folder`. */
export async function loadSegment(graph: Graph, options: SegmentOptions): Promise<Segment> {
  await disableTelemetry();
  const session = await withBackendErrors(`load ${graph.name}`, () =>
    ort.InferenceSession.create(graph.toBytes(), sessionOptions(options)),
  );
  const outputs = [...graph.outputs];
  return {
    shapes: new Map(outputs.map(([role, { shape }]) => [role, shape])),
    async run(inputs, targets = {}) {
      const fetches = Object.fromEntries(outputs.map(([role, { value }]) => [value, targets[role] ?? null]));
      const results = await withBackendErrors(`run ${graph.name}`, () => session.run(inputs, fetches));
      return Object.fromEntries(outputs.map(([role, { value }]) => [role, results[value]?.data as Float32Array]));
    },
    release: () => withBackendErrors(`release ${graph.name}`, () => session.release()),
  };
}

/** A float32 tensor over `data`, which is copied only where it is shared memory: ONNX Runtime refuses that. */
export function floatTensor(data: Float32Array, shape: readonly number[]): ort.Tensor {
  const unshared = data.buffer instanceof ArrayBuffer ? data : new Float32Array(data);
  return new ort.Tensor('float32', unshared, shape);
}

export function uint8Tensor(data: Uint8Array, shape: readonly number[]): ort.Tensor {
  return new ort.Tensor('uint8', data, shape);
}

export function int32Tensor(data: Int32Array, shape: readonly number[]): ort.Tensor {
  return new ort.Tensor('int32', data, shape);
}

async function withBackendErrors<T>(action: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw llmError({
      code: 'backend-failed',
      problem: `ONNX Runtime could not ${action}.`,
      found: error instanceof Error ? error.message : String(error),
      remedy:
        'Where memory ran out, use a smaller model or a shorter context; otherwise check that onnxruntime-node 1.30 ' +
        'is installed, and report this.',
      cause: error,
    });
  }
}
