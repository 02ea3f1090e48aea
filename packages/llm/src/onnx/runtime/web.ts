/** `#onnx-runtime` in browsers: the WebAssembly backend of onnxruntime-web. */

import type { InferenceSession, Tensor } from 'onnxruntime-common';
import { loadOrt } from '#onnxruntime-web';
import { weightsFileName } from '../weights-location.ts';
import type { OnnxRuntime, OnnxSessionOptions } from './runtime.ts';

export const RUNTIME_PACKAGE = 'onnxruntime-web 1.30';
export const MAPS_WEIGHTS = false;

/** MatMulNBits dequantizes the whole matrix at every call here. */
export const BLOCK_PRODUCTS: OnnxRuntime['BLOCK_PRODUCTS'] = 'as-floats';

/**
 * Each session copies the weights that it needs; `bytes` may go once it is made. Scales are multiplied out when it is made: see
 * the settings for Node.
 */
function sessionOptions({ weights }: OnnxSessionOptions): InferenceSession.SessionOptions {
  return {
    executionProviders: ['wasm'],
    enableCpuMemArena: false,
    enableMemPattern: false,
    logSeverityLevel: 3,
    extra: { session: { disable_quant_qdq: '1' } },
    ...(weights?.bytes && { externalData: [{ path: weightsFileName, data: weights.bytes }] }),
  };
}

/** The runtime, once a session was created. */
let ort: Awaited<ReturnType<typeof loadOrt>> | undefined;

function loadedOrt() {
  if (ort === undefined) throw new Error('a tensor before the first session');
  return ort;
}

export const createOnnxSession: OnnxRuntime['createOnnxSession'] = async (model, options) => {
  ort = await loadOrt();
  // The number of threads is one for all sessions, and the first of them starts these.
  ort.env.wasm.numThreads ??= options.threads;
  return ort.InferenceSession.create(model, sessionOptions(options));
};

/** Longest time without a look at what has come, such as an abort: sessions run without ever yielding. */
const MAX_BUSY_MS = 25;

const channel = new MessageChannel();
let yielded = performance.now();

/** Lets events be handled, now and then. A message comes sooner than a timer, which may wait for milliseconds. */
async function yieldToEvents(): Promise<void> {
  if (performance.now() - yielded < MAX_BUSY_MS) return;
  await new Promise<void>((resolve) => {
    channel.port1.onmessage = () => resolve();
    channel.port2.postMessage(undefined);
  });
  yielded = performance.now();
}

/** The outputs lie in ONNX Runtime's own memory, whatever tensors it is given for them, and are copied from there. */
export const runOnnxSession: OnnxRuntime['runOnnxSession'] = async (session, feeds, fetches) => {
  await yieldToEvents();
  const results: Record<string, Tensor> = { ...(await session.run(feeds, Object.keys(fetches))) };
  for (const [name, target] of Object.entries(fetches)) {
    if (target === null) continue;
    (target.data as Float32Array).set(results[name]?.data as Float32Array);
    results[name] = target;
  }
  return results;
};

/** A tensor over `data`, which is copied only where it is shared memory. */
export const floatTensor: OnnxRuntime['floatTensor'] = (data, shape) =>
  new (loadedOrt().Tensor)('float32', data.buffer instanceof ArrayBuffer ? data : new Float32Array(data), shape);

export const uint8Tensor: OnnxRuntime['uint8Tensor'] = (data, shape) => new (loadedOrt().Tensor)('uint8', data, shape);
export const int32Tensor: OnnxRuntime['int32Tensor'] = (data, shape) => new (loadedOrt().Tensor)('int32', data, shape);
