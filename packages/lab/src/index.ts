/** Keysieve's laboratory: what sparse attention costs on a model and a text, measured. */
export { registerBaselines } from './baselines/index.ts';
export {
  type BenchAttentionOptions,
  benchAttention,
  benchQuantizedCaches,
  type CertifyResult,
  type HeadResult,
  type PolicyResult,
  type QuantizedResult,
} from './bench/attention.ts';
export {
  type BenchBoundedOptions,
  type BoundedLength,
  type BoundedResult,
  benchBounded,
  GENERATED_TOKENS,
} from './bench/bounded.ts';
export { startClock, type Time } from './bench/clock.ts';
export {
  type Build,
  type BuildAttention,
  type BuildShape,
  type BuildStep,
  type BuildsRow,
  type CompareBuildsOptions,
  compareBuilds,
} from './bench/compare-builds.ts';
export { createDensePeer, DENSE_PEER } from './bench/dense-peer.ts';
export { estimatesDocument } from './bench/estimates/document.ts';
export {
  type BenchEstimatesOptions,
  benchEstimates,
  type EstimatedRow,
  type EstimateResult,
  type EstimateSet,
  type EstimateSummary,
} from './bench/estimates/estimates.ts';
export { describeEstimates, estimatesTable } from './bench/estimates/table.ts';
export { rejectEvictingPolicies } from './bench/evicting-policies.ts';
export { loadLlamaCpp } from './bench/llama-cpp.ts';
export { type Machine, machineOf, type Versions, versionsOf } from './bench/machine.ts';
export {
  type BenchMemoryOptions,
  benchMemory,
  type EncodingSet,
  type FilledCache,
  type MemoryResult,
} from './bench/memory.ts';
export type { Peer, PeerCache, PeerOptions } from './bench/peer.ts';
export { loadPeer, PEERS } from './bench/peers.ts';
export { performancePage, readReport } from './bench/performance.ts';
export type * from './bench/reports.ts';
export { type BenchScalingOptions, benchScaling, type LengthResult, type ScalingResult } from './bench/scaling.ts';
export { type BenchSessionsOptions, benchSessions, type SessionsResult } from './bench/sessions.ts';
export {
  type BenchSpeedOptions,
  benchDecode,
  benchPrefill,
  FIRST_TOKENS,
  type FirstTimes,
  type OurTimes,
  type PeerTimes,
  type SpeedResult,
} from './bench/speed.ts';
export { type SpeedTable, type SpeedTableForm, speedTable } from './bench/speed-table.ts';
export { type BenchStepsOptions, benchSteps, type StepsResult } from './bench/steps.ts';
export { describeLargestJump, stepsTable } from './bench/steps-table.ts';
export { type CaptureHeadsOptions, captureHeads, type HeadPlace } from './captures/capture-heads.ts';
export type { CapturedHead } from './captures/captured-head.ts';
export { readCapture } from './captures/read-capture.ts';
export { type WriteCaptureOptions, writeCapture } from './captures/write-capture.ts';
export { claimsDocument } from './claims/document.ts';
export {
  type ClaimsStudy,
  claimsJson,
  type JudgedClaim,
  type StudyOptions,
  type StudySetting,
  studyClaims,
  VERDICT_TEXT,
} from './claims/study.ts';
export { describeDisk, describeLayers, describeMemory } from './describe/inspection.ts';
export { describeKeysFor } from './describe/keys-for.ts';
export { describeLaw } from './describe/law.ts';
export { describeTasks } from './describe/tasks.ts';
export { describeText } from './describe/text.ts';
export type { LabError, LabErrorCode } from './errors.ts';
export type { AttentionFigures, LayerFigures } from './eval/audit.ts';
export type { PolicyEvaluation, TextEvaluation } from './eval/compare-policies.ts';
export { type EvaluateKeysForOptions, evaluateKeysFor, type KeysForResult } from './eval/evaluate-keys-for.ts';
export { type EvaluateTextOptions, evaluateText, prepareText, type TextResult } from './eval/evaluate-text.ts';
export type { KeysForLengths } from './eval/keys-for-lengths.ts';
export { specName } from './eval/predictions.ts';
export {
  LADDER,
  ladderSpecs,
  meetsTarget,
  type QualityTarget,
  type Setting,
  type Suggestion,
  suggest,
} from './eval/suggest.ts';
export { msPerTokenOf, type TextTimes } from './eval/times.ts';
export { type NamedText, type TokenRange, takeTokens } from './eval/tokens.ts';
export { readInput } from './files/input-file.ts';
export { checkOutput, writeOutput } from './files/output-file.ts';
export * from './format/format.ts';
export { formatFields, formatTable, type TableOptions, wrapLine } from './format/table.ts';
export { type LawInput, makeLaw } from './law/make-law.ts';
export { checkLaw, type IdentifiedModel, lawModelOf, openLaw, withLawBudget } from './law/open-law.ts';
export { keysFromFit } from './law/shapes.ts';
export { LawTally, type TallyDesign, type Trial } from './law/tally.ts';
export {
  type MeasuredLaw,
  type MeasurementCost,
  type MeasureTextsOptions,
  measureTexts,
  prepareLaw,
} from './measure/measure-texts.ts';
export { savedThreads } from './measure/saved-run.ts';
export { cellsOf, type MergedRuns, mergeRuns, type RunPlan, resultOfRun } from './merge-runs.ts';
export { distanceProfile, distanceShare } from './methods/distance-share.ts';
export { methodDocument } from './methods/document.ts';
export { METHODS } from './methods/index.ts';
export type { Method, PlantedOutcome, Reading } from './methods/method.ts';
export { createResidualSketch, type ResidualSketch } from './methods/residual-sketch.ts';
export {
  type CaptureFile,
  type MethodStudy,
  methodStudyJson,
  prepareMethods,
  runMethodStudy,
} from './methods/study.ts';
export { createRefitRule, type RefitRule } from './methods/surprise.ts';
export type { Interval } from './numerics/interval.ts';
export { argmax, klDivergence, logSoftmax } from './numerics/softmax.ts';
export { type Spread, spreadOf } from './numerics/spread.ts';
export { mean } from './numerics/statistics.ts';
export { type EvalResults, evalReport } from './report/eval-report.ts';
export { lawReport } from './report/law-report.ts';
export { methodReport } from './report/method-report.ts';
export { type Cell, type CellResult, cellId, type ResultOf, type TimingMachine } from './results/cell.ts';
export type { ModelSettings } from './results/model-settings.ts';
export { type Run, runAlone, runShard, type ShardSummary, threadsOfResults } from './results/run.ts';
export { resultJson } from './results/saved-results.ts';
export { parseShard, type Shard } from './results/shard.ts';
export type { TaskAnswer, TaskItem } from './tasks/answer-task.ts';
export { defaultFiller } from './tasks/default-filler.ts';
export { type DemoOptions, type DemoResult, runDemo } from './tasks/demo.ts';
export {
  type EvaluateTasksOptions,
  evaluateTasks,
  type PolicyScores,
  prepareTasks,
  type TasksResult,
  type TaskTimes,
} from './tasks/evaluate-tasks.ts';
export { MAX_NAMES, TASKS, type Task, taskOf } from './tasks/index.ts';
export type { Work, WorkOptions } from './work.ts';
