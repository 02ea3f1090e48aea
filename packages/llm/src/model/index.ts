/** Models: their configuration, and their dense half on ONNX Runtime. */
export type { MatmulPrecision, WeightsMemory } from '../onnx/index.ts';
export { supportedArchitectures } from './architectures/index.ts';
export { type Calibration, readCalibration, writeCalibration } from './calibration.ts';
export type { ModelConfig } from './config.ts';
export { extendedRopeTheta } from './rope.ts';
export type {
  Attend,
  ForwardOptions,
  Projections,
  SegmentLoadProgress,
  TransformerSegments,
  TransformerSegmentsOptions,
} from './transformer-segments.ts';
export { inspectTransformerSegments, loadTransformerSegments } from './transformer-segments.ts';
