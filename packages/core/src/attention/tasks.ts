/** Every kind of task, by the kind of its job. */
import { decodeGroupsTask } from './decode.ts';
import { fullBlockTask, fullRangeTask } from './full.ts';
import { type Job, type JobKind, jobNumber, openJobData, readJob } from './job.ts';
import { measureTask } from './measure.ts';
import { prefillBlockTask } from './prefill.ts';
import { splitDecodeTask } from './split-decode.ts';
import { growMemories, type ThreadContext } from './thread.ts';

const TASKS: Readonly<Record<JobKind, (thread: ThreadContext, job: Job, task: number) => void>> = {
  'full-blocks': fullBlockTask,
  'full-ranges': fullRangeTask,
  'decode-groups': decodeGroupsTask,
  'decode-split': splitDecodeTask,
  'prefill-blocks': prefillBlockTask,
  measure: measureTask,
};

/** Does one task of a job. */
export function runTask(thread: ThreadContext, job: Job, task: number): void {
  TASKS[job.kind](thread, job, task);
}

/** Does tasks, as they are claimed, of the jobs that stand in `jobNumbers`; each job is read once. */
export function createTaskRunner(thread: ThreadContext, jobNumbers: Float64Array): (task: number) => void {
  let job: Job | undefined;
  let number = 0;
  return (task) => {
    if (job === undefined || number !== jobNumber(jobNumbers)) {
      const message = readJob(jobNumbers);
      number = message.number;
      growMemories(message.memoryBytes, thread);
      job = { ...message, data: openJobData(message.addresses, thread.jobMemory.views().f32) };
    }
    runTask(thread, job, task);
  };
}
