/**
 * ONNX Runtime as segments need it. `#onnx-runtime` is one of two modules that export this, for Node and for browsers,
 * chosen when the package is built or run (`imports` of package.json).
 */
import type { InferenceSession, TypedTensor } from 'onnxruntime-common';
import type { WeightsLocation } from '../weights-location.ts';

export interface OnnxRuntime {
  /** Creates a session. Throws what ONNX Runtime throws. */
  createOnnxSession(model: Uint8Array, options: OnnxSessionOptions): Promise<InferenceSession>;
  floatTensor(data: Float32Array, shape: readonly number[]): TypedTensor<'float32'>;
  uint8Tensor(data: Uint8Array, shape: readonly number[]): TypedTensor<'uint8'>;
  int32Tensor(data: Int32Array, shape: readonly number[]): TypedTensor<'int32'>;
  /** The package that must be installed, for errors. */
  RUNTIME_PACKAGE: string;
}

export interface OnnxSessionOptions {
  /** The weights file that the model names; undefined where it names none. */
  weights: WeightsLocation | undefined;
  threads: number;
}
