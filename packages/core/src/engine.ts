/**
 * What engines for whole models are built from, such as `@keysieve/llm` and `@keysieve/lab`: threads and buffers that
 * attentions share, pages as bytes, what steps cost on a machine, what heads attend to. It follows the inner workings of
 * the attention and may change with any version.
 */
export { type AttendOutcome, attendTogether, type SequenceRequest } from './attention/attend-together.ts';
export { type OwnOptions, openAttention } from './attention/attention.ts';
export {
  BoundedAttention,
  type BoundedAttentionOptions,
  type BoundedRows,
  createBoundedAttention,
} from './attention/bounded-attention.ts';
export { AttentionEngine, createAttentionEngine, type EngineOptions } from './attention/engine.ts';
export { fullAttentionBelow } from './attention/full-attention-below.ts';
export { bucketStart, distanceBucket } from './attention/measure/distance-buckets.ts';
export { type MeasurePlan, type QueryMeasurement, SINK_POSITIONS } from './attention/measure/sample.ts';
export type { MeasureRequest } from './attention/measure.ts';
export type { StepShape } from './attention/measure-step-costs.ts';
export { type CachePoolOptions, createCachePool } from './cache/cache-pool.ts';
export type { LayerRows } from './cache/head-pages.ts';
export type { HeadNorms } from './cache/norms.ts';
export {
  copyPage,
  importPage,
  normCount,
  type PageBytes,
  pageByteLength,
  releasePage,
  retainPage,
  type SharedPage,
} from './cache/page-bytes.ts';
export type { Segment } from './cache/page-list.ts';
export type { CacheShape } from './cache/shape.ts';
export type { Region, SlabPool } from './cache/slab-pool.ts';
export { float16ToFloat32, float32ToFloat16 } from './kernels/float16.ts';
export type { Kernels, Pages, QueryRows } from './kernels/kernels.ts';
export { exactPageBytes } from './kernels/layout.ts';
export { isScanBasis } from './kernels/scan-basis.ts';
export { checkOptionNames, type OptionNames } from './option-names.ts';
export { policyDefinitions } from './policies/registry.ts';
export { KEPT_RECENT_KEYS, SINK_KEYS } from './selectors/selector.ts';
export { chooseScanBasis, type HeadSample } from './sieve/scan-basis.ts';
