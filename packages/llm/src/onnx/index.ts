/** The non-attention layers of a model as ONNX segments: graphs, their weights file, its cache, and running them. */
export { throwIfAborted } from './abort.ts';
export { type ExpertTensors, mixtureOfExperts } from './experts.ts';
export {
  FULL_ATTENTION_OPERATORS,
  type FullAttentionOperator,
  type FullAttentionOperatorName,
  type FullAttentionOperatorOptions,
} from './full-attention-operator.ts';
export { Graph, type Value } from './graph.ts';
export { detectInt8Signedness } from './int8-signedness.ts';
export { embeddingLookup, type Linear, linear, type SegmentBuilder, vector } from './matrix-ops.ts';
export { residentWeights, type WeightsMemory, weightsMemory } from './memory.ts';
export { loadSegment, type Segment, type SegmentInputs } from './segment.ts';
export {
  type BlockProducts,
  type Int8Signedness,
  MATMUL_PRECISIONS,
  type MatmulPrecision,
  type MatmulShape,
  supportedTensorTypes,
  type WeightEncoding,
} from './weight-encoding.ts';
export { type PreparedWeights, type PrepareOptions, type PrepareProgress, prepareWeights } from './weights-cache.ts';
export { fingerprintTensors, hashFile } from './weights-file.ts';
export { type WeightsLocation, weightsFileName } from './weights-location.ts';
export { WeightsPlan } from './weights-plan.ts';
