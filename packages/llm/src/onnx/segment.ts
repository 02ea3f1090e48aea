/**
 * Runs segments on ONNX Runtime. All of its errors leave here as `backend-failed`.
 */

import { KeysieveError } from 'keysieve';
import type { Tensor } from 'onnxruntime-common';
import { createOnnxSession, RUNTIME_PACKAGE, runOnnxSession } from '#onnx-runtime';
import { llmError } from '../errors.ts';
import type { Dimension, Graph } from './graph.ts';
import type { OnnxSessionOptions } from './runtime/runtime.ts';

/** Tensors by the names of a segment's inputs. */
export type SegmentInputs = Readonly<Record<string, Tensor>>;

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

/** Loads a graph with its weights. */
export async function loadSegment(graph: Graph, options: OnnxSessionOptions): Promise<Segment> {
  const session = await withBackendErrors(`load ${graph.name}`, () => createOnnxSession(graph.toBytes(), options));
  const outputs = [...graph.outputs];
  return {
    shapes: new Map(outputs.map(([role, { shape }]) => [role, shape])),
    async run(inputs, targets = {}) {
      const fetches = Object.fromEntries(outputs.map(([role, { value }]) => [value, targets[role] ?? null]));
      const results = await withBackendErrors(`run ${graph.name}`, () => runOnnxSession(session, inputs, fetches));
      return Object.fromEntries(outputs.map(([role, { value }]) => [role, results[value]?.data as Float32Array]));
    },
    release: () => withBackendErrors(`release ${graph.name}`, () => session.release()),
  };
}

async function withBackendErrors<T>(action: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof KeysieveError) throw error;
    throw llmError({
      code: 'backend-failed',
      problem: `ONNX Runtime could not ${action}.`,
      found: error instanceof Error ? error.message : String(error),
      remedy:
        `Where memory ran out, use a smaller model or a shorter context; otherwise check that ${RUNTIME_PACKAGE} ` +
        'is installed, and report this.',
      cause: error,
    });
  }
}
