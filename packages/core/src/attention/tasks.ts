/** Every kind of task, by the kind of its job. */

import { decodeGroupsTask } from './decode.ts';
import { fullBlockTask, fullRangeTask } from './full.ts';
import { type Job, type JobKind, jobNumber, readJob } from './job.ts';
import { measureTask } from './measure.ts';
import { sampledBlockTask } from './prefill.ts';
import { splitGroupsTask } from './split-decode.ts';
import { growMemories, type ThreadContext } from './thread.ts';

const TASKS: Readonly<Record<JobKind, (thread: ThreadContext, job: Job, task: number) => void>> = {
  'full-blocks': fullBlockTask,
  'full-ranges': fullRangeTask,
  'decode-groups': decodeGroupsTask,
  'decode-split': splitGroupsTask,
  'prefill-blocks': sampledBlockTask,
  measure: measureTask,
};

/** Does one task of a job. */
export function runTask(thread: ThreadContext, job: Job, task: number): void {
  TASKS[job.kind](thread, job, task);
}

/** Does tasks, as they are claimed, of the jobs that stand in `jobArguments`; each job is read once. */
export function createTaskRunner(thread: ThreadContext, jobArguments: Float64Array): (task: number) => void {
  let job: Job | undefined;
  return (task) => {
    if (job?.number !== jobNumber(jobArguments)) {
      job = readJob(jobArguments);
      growMemories(job, thread);
    }
    runTask(thread, job, task);
  };
}
