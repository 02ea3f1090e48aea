/** Keysieve's sweeps: evaluations of many models, texts and policies, by workers on many machines. */
export type { SweepError, SweepErrorCode } from './errors.ts';
export { type PlanFile, parsePlan, planSweep, readSweep, type Sweep } from './plan.ts';
export { openQueues, type Queues } from './queues.ts';
export { type StatusPage, serveStatus } from './status-page.ts';
export {
  cancelSweep,
  describeStatus,
  findSweep,
  queueSweep,
  type RunResult,
  type SweepStatus,
  sweepResults,
  sweepStatus,
} from './sweeps.ts';
export { runWorker, type WorkerRunOptions } from './worker.ts';
