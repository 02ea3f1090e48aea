/** Models and sessions: what most users of this package need. */

export { SCANS, type Scan } from '../snapshot/settings.ts';
export type { Audit } from './audit.ts';
export type { BoundedReadOptions, BoundedSession, BoundedSessionOptions, BoundedStep } from './bounded-session.ts';
export type { EvaluateOptions, Evaluation } from './evaluation.ts';
export type { AttentionEvent } from './forward-pass.ts';
export type { GenerateOptions, PrefillProgress } from './generate-options.ts';
export type {
  AttentionSummary,
  Dependence,
  FinishReason,
  Generation,
  GenerationChunk,
  GenerationResult,
} from './generation.ts';
export { type Inspection, type InspectOptions, inspectModel, type MemoryPrediction } from './inspection.ts';
export { type SessionMemory, selectiveLayers } from './layer-caches.ts';
export { loadModel, type Model } from './load-model.ts';
export type { LoadProgress } from './load-progress.ts';
export type { LoadOptions } from './model-file.ts';
export { DEFAULT_FOLDER_LIMIT, openFolder, type PrefixFolderContents, type PrefixOptions } from './open-prefixes.ts';
export type { EncodePromptOptions, Prompt } from './prompt.ts';
export { decodePrompt, readPromptFile } from './prompt-file.ts';
export type { RestoreOptions } from './restore.ts';
export type { SaveOptions } from './save.ts';
export type { Session } from './session.ts';
export { DEFAULT_ATTENTION, defaultCachePrecision } from './session.ts';
export type { SessionOptions } from './session-options.ts';
export type { PassPhase, PassTrace } from './trace.ts';
