/** Models: their configuration, and their dense half on ONNX Runtime. */
export type { Precision as DensePrecision, WeightsMemory } from '../onnx/index.ts';
export { supportedArchitectures } from './architectures/index.ts';
export { type Calibration, readCalibration, writeCalibration } from './calibration.ts';
export type { ModelConfig } from './config.ts';
export type {
  Attend,
  DenseModel,
  DenseModelOptions,
  DenseModelProgress,
  ForwardOptions,
  Projections,
} from './dense-model.ts';
export { inspectDenseModel, loadDenseModel } from './dense-model.ts';
export { stretchedTheta } from './rope.ts';
