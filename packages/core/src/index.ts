/** Keysieve: a key-value cache and an attention for long prompts, with no dependencies. */
export {
  type AttendRequest,
  type AttendResult,
  Attention,
  type AttentionOptions,
  createAttention,
  type ObserveRequest,
} from './attention/attention.ts';
export type { LayerQueries } from './attention/layer-queries.ts';
export { measureStepCosts } from './attention/measure-step-costs.ts';
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
export { type CacheOptions, KvCache, type KvCacheOptions } from './cache/kv-cache.ts';
export type { CacheMemory } from './cache/page-list.ts';
export { CERTIFICATE_KINDS, type Certificate, type CertificateKind } from './certificates/certificate.ts';
export {
  CORE_ERROR_CODES,
  type CoreError,
  type CoreErrorCode,
  type ErrorDetails,
  type ErrorOf,
  hasErrorCode,
  isCoreError,
  KeysieveError,
} from './errors.ts';
export type { KernelsName } from './kernels/index.ts';
export { ENCODINGS, type Encoding, PAGE_KEYS, PRECISIONS, type Precision } from './kernels/layout.ts';
export type { ScanBasis } from './kernels/scan-basis.ts';
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
export { type PolicyModule, policyNames, registerPolicies } from './policies/registry.ts';
export type { StepCosts } from './policies/step-costs.ts';
