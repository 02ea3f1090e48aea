/** `#onnx-runtime` in Node: the CPU backend of onnxruntime-node. */
import { dirname } from 'node:path';
import * as ort from 'onnxruntime-node';
import type { OnnxRuntime, OnnxSessionOptions } from './runtime.ts';
import { disableTelemetry } from './telemetry.ts';

export const RUNTIME_PACKAGE = 'onnxruntime-node 1.30';
export const MAPS_WEIGHTS = true;

export const BLOCK_PRODUCTS: OnnxRuntime['BLOCK_PRODUCTS'] = 'as-blocks';

/**
 * Settings of every segment, chosen by measurement (SmolLM2-135M, 30 layers, ONNX Runtime 1.30):
 * - Threads that spin only while their own segment runs: pools that spin on slow the others down many times, and
 *   without spinning every operation waits for its threads to wake.
 * - Neither arena nor memory pattern: each segment would keep its largest activations (870 MB in all after a chunk
 *   of 512 tokens, against 60 MB), and the allocator of the system is as fast.
 * - Scales are multiplied out when a graph is loaded: without the word that products are not to be quantized by them, ONNX
 *   Runtime would leave that to every run.
 * - Weights are mapped from their file; what a kernel packs anew replaces the mapped pages.
 */
function sessionOptions({ weights, threads }: OnnxSessionOptions): ort.InferenceSession.SessionOptions {
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
        disable_quant_qdq: '1',
        ...(weights?.path !== undefined && { model_external_initializers_file_folder_path: dirname(weights.path) }),
      },
    },
  };
}

export const createOnnxSession: OnnxRuntime['createOnnxSession'] = async (model, options) => {
  await disableTelemetry();
  return ort.InferenceSession.create(model, sessionOptions(options));
};

export const runOnnxSession: OnnxRuntime['runOnnxSession'] = (session, feeds, fetches) => session.run(feeds, fetches);

/** A tensor over `data`, which is copied only where it is shared memory: ONNX Runtime refuses that. */
export const floatTensor: OnnxRuntime['floatTensor'] = (data, shape) =>
  new ort.Tensor('float32', data.buffer instanceof ArrayBuffer ? data : new Float32Array(data), shape);

export const uint8Tensor: OnnxRuntime['uint8Tensor'] = (data, shape) => new ort.Tensor('uint8', data, shape);
export const int32Tensor: OnnxRuntime['int32Tensor'] = (data, shape) => new ort.Tensor('int32', data, shape);
