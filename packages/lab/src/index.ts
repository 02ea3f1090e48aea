/** Keysieve's laboratory: what sparse attention costs on a model and a text, measured. */
export { registerBaselines } from './baselines/index.ts';
export { benchAttention, benchQuantizedCaches, type PolicyResult, type QuantizedResult } from './bench/attention.ts';
export { startClock } from './bench/clock.ts';
export {
  type Build,
  type BuildAttention,
  type BuildShape,
  type BuildStep,
  type BuildsRow,
  type CompareBuildsOptions,
  compareBuilds,
} from './bench/compare-builds.ts';
export { loadLlamaCpp } from './bench/llama-cpp.ts';
export { machineOf, versionsOf } from './bench/machine.ts';
export { benchMemory } from './bench/memory.ts';
export { loadPeer, PEERS, type Peer } from './bench/peer.ts';
export { performancePage, readReport } from './bench/performance.ts';
export type * from './bench/reports.ts';
export { benchScaling } from './bench/scaling.ts';
export { benchDecode, benchPrefill, FIRST_TOKENS, type SpeedOptions, type SpeedResult } from './bench/speed.ts';
export { speedTable } from './bench/speed-table.ts';
export { benchSteps } from './bench/steps.ts';
export { describeLargestJump, stepsTable } from './bench/steps-table.ts';
export { readCapture } from './captures/capture.ts';
export { documentOf } from './claims/document.ts';
export { jsonOf, runStudy, VERDICT_TEXT } from './claims/study.ts';
export { measureKeysFor } from './eval/keys-for-lengths.ts';
export { modelSettings } from './eval/model-settings.ts';
export { specName } from './eval/predictions.ts';
export type * from './eval/results.ts';
export { openSavedResults } from './eval/saved-results.ts';
export { describeSuggestion, ladderSpecs, meetsTarget, type QualityTarget, suggest } from './eval/suggest.ts';
export { evaluateText, type PolicyEvaluation } from './eval/text.ts';
export { textHash } from './file-hash.ts';
export * from './format/format.ts';
export { formatTable } from './format/table.ts';
export { describeLawModel, type LoadedModelFile } from './law/law-model.ts';
export { makeLaw } from './law/make-law.ts';
export { createDesign } from './measure/design.ts';
export { measureText, planesToMeasure } from './measure/measure-text.ts';
export { openRun } from './measure/saved-run.ts';
export { mean } from './numerics/statistics.ts';
export { evalReport } from './report/eval-report.ts';
export { lawReport } from './report/law-report.ts';
export { answerTask, makePrompt, readPrompt, type TaskAnswer, type TaskItem } from './tasks/answer-task.ts';
export { defaultFiller } from './tasks/default-filler.ts';
export { MAX_NAMES, TASKS, type Task, taskOf } from './tasks/index.ts';
