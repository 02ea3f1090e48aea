/** The dense half of a model as ONNX segments: graphs, their weights file, its cache, and running them. */
export { throwIfAborted } from './abort.ts';
export { exactByteCodes } from './byte-products.ts';
export { cacheFolderPath } from './cache-folder.ts';
export {
  DENSE_OPERATORS,
  type DenseOperator,
  type DenseOperatorName,
  type DenseOperatorOptions,
} from './dense-operator.ts';
export { Graph, type Value, weightsFileName } from './graph.ts';
export { keepJson, readJson } from './kept-json.ts';
export { type ByteCodes, type MatrixForm, type Precision, type RowCount, supportedTensorTypes } from './matrix-form.ts';
export { type Linear, linear, lookUp, type SegmentBuilder, vector } from './matrix-ops.ts';
export { type WeightsMemory, weightsMemory } from './memory.ts';
export { floatTensor, integerTensor, loadSegment, type Segment, type SegmentInputs } from './runtime.ts';
export { type PreparedWeights, type PrepareOptions, type PrepareProgress, prepareWeights } from './segment-cache.ts';
export { hashFile, hashTensors } from './weights-file.ts';
export { WeightsPlan } from './weights-plan.ts';
