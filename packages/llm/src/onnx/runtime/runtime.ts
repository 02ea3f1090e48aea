/**
 * ONNX Runtime as segments need it. `#onnx-runtime` is one of two modules that export this, for Node and for browsers,
 * chosen when the package is built or run (`imports` of package.json).
 */
import type { InferenceSession, Tensor, TypedTensor } from 'onnxruntime-common';
import type { BlockProducts } from '../weight-encoding.ts';
import type { WeightsLocation } from '../weights-location.ts';

export interface OnnxRuntime {
  /** Creates a session. Throws what ONNX Runtime throws. */
  createOnnxSession(model: Uint8Array, options: OnnxSessionOptions): Promise<InferenceSession>;
  /** Runs a session. An output that `fetches` has a tensor for is written there; others come in arrays of their own. */
  runOnnxSession(session: InferenceSession, feeds: Tensors, fetches: Fetches): Promise<Tensors>;
  floatTensor(data: Float32Array, shape: readonly number[]): TypedTensor<'float32'>;
  uint8Tensor(data: Uint8Array, shape: readonly number[]): TypedTensor<'uint8'>;
  int32Tensor(data: Int32Array, shape: readonly number[]): TypedTensor<'int32'>;
  /** How float32 activations are multiplied by blocks of small integers fastest. */
  BLOCK_PRODUCTS: BlockProducts;
  /** The package that must be installed, for errors. */
  RUNTIME_PACKAGE: string;
  /** Whether sessions map the weights file into memory. Otherwise they copy all of it. */
  MAPS_WEIGHTS: boolean;
}

/** Tensors by the names of inputs or outputs. */
export type Tensors = Readonly<Record<string, Tensor>>;

/** The outputs that are asked for, with where they are to be written, or null. */
export type Fetches = Readonly<Record<string, Tensor | null>>;

export interface OnnxSessionOptions {
  /** The weights file that the model names; undefined where it names none. */
  weights: WeightsLocation | undefined;
  threads: number;
}
