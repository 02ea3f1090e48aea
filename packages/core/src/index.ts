/** Keysieve: a key-value cache and an attention for long prompts, with no dependencies. */
export {
  type AttendRequest,
  type AttendResult,
  Attention,
  type AttentionOptions,
  createAttention,
  type ObserveRequest,
  type OwnOptions,
  openAttention,
} from './attention/attention.ts';
export { AttentionEngine, createAttentionEngine, type EngineOptions } from './attention/engine.ts';
export { fullAttentionBelow } from './attention/full-attention-below.ts';
export type { LayerQueries } from './attention/layer-queries.ts';
export { bucketStart, distanceBucket } from './attention/measure/distance-buckets.ts';
export { type MeasurePlan, type QueryMeasurement, SINK_POSITIONS } from './attention/measure/sample.ts';
export type { MeasureRequest } from './attention/measure.ts';
export { measureStepCosts, type StepShape } from './attention/measure-step-costs.ts';
export { type AttentionBytes, type AttentionSize, attentionBytes } from './attention/memory.ts';
export { type AttentionReport, addReport, emptyReport } from './attention/report.ts';
export type { AttentionTrace, PhaseTimes, TracePhase } from './attention/trace.ts';
export { TRACE_PHASES } from './attention/trace.ts';
export {
  BUDGETS,
  type Budget,
  type BudgetContext,
  type BudgetKind,
  type BudgetPlan,
  type BudgetText,
  type KeyBudget,
  type MassTarget,
  parseBudget,
} from './budgets/index.ts';
export { type CachePoolOptions, createCachePool } from './cache/cache-pool.ts';
export type { LayerRows } from './cache/head-pages.ts';
export { type CacheOptions, KvCache, type KvCacheOptions } from './cache/kv-cache.ts';
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
export { CERTIFICATE_KINDS, type Certificate, type CertificateKind } from './certificates/certificate.ts';
export { type CoreError, type CoreErrorCode, type ErrorDetails, isCoreError, KeysieveError } from './errors.ts';
export { float16ToFloat32, float32ToFloat16 } from './kernels/float16.ts';
export type { KernelsName } from './kernels/index.ts';
export type { Kernels, Pages, QueryRows } from './kernels/kernels.ts';
export { ENCODINGS, type Encoding, exactPageBytes, PAGE_KEYS, PRECISIONS, type Precision } from './kernels/layout.ts';
export { isScanBasis, type ScanBasis } from './kernels/scan-basis.ts';
export { wasmSupported } from './kernels/wasm/wasm-kernels.ts';
export { BUDGET_TARGETS, type BudgetTarget, isBudgetTarget, parseBudgetTarget } from './law/budget-target.ts';
export * from './law/law-file.ts';
export { meanKeysFor, type PlannedBudget, planBudget } from './law/plan.ts';
export { checkLawModel, readLaw } from './law/read-law.ts';
export {
  certifiedPrompt,
  createPolicy,
  DEFAULT_BUDGET,
  FULL_ATTENTION,
  type Policy,
  type PolicyName,
  type PolicySpec,
  policyEncodings,
} from './policies/policy.ts';
export { type PolicyModule, policyDefinitions, policyNames, registerPolicies } from './policies/registry.ts';
export type { StepCosts } from './policies/step-costs.ts';
export { KEPT_RECENT_KEYS, SINK_KEYS } from './selectors/selector.ts';
export { chooseScanBasis, type HeadSample } from './sieve/scan-basis.ts';
