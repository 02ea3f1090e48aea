/** Models in pages: an engine in a worker, and the browser's storage. */
export type {
  ModelFacts,
  WorkerGenerateOptions,
  WorkerLoadOptions,
  WorkerSessionOptions,
} from './browser/protocol.ts';
export {
  deleteModel,
  type KeptModel,
  keepModel,
  listModels,
  openModel,
  persistStorage,
  type StorageState,
} from './browser/storage.ts';
export {
  createWorkerModel,
  type WorkerModel,
  type WorkerModelOptions,
  type WorkerSession,
} from './browser/worker-model.ts';
export type { LoadProgress } from './session/load-progress.ts';
export { type EstimateOptions, estimateMemory, type MemoryEstimate } from './session/memory-estimate.ts';
