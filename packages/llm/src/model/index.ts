/** Models: their configuration, and their layers other than attention on ONNX Runtime. */
export type { MatmulPrecision, WeightsMemory } from '../onnx/index.ts';
export { architectureOf, supportedArchitectures } from './architectures/index.ts';
export { type Calibration, readCalibration, writeCalibration } from './calibration.ts';
export { type LayerAttention, type ModelConfig, ropePartners } from './decoder/config.ts';
export { extendedRopeTheta } from './decoder/rope.ts';
export type { RequestedLogits, TokenRun } from './token-runs.ts';
export type {
  Attend,
  ForwardOptions,
  Projections,
  SegmentLoadProgress,
  TransformerSegments,
  TransformerSegmentsOptions,
} from './transformer-segments.ts';
export { disposedError, inspectTransformerSegments, loadTransformerSegments } from './transformer-segments.ts';
