/** Every kind of task, by the kind of its job. */
import { denseBlockTask, denseRangeTask } from './dense.ts';
import { type Job, type JobKind, readJob } from './job.ts';
import { sparseRowsTask } from './sparse.ts';
import { catchUpWith, type ThreadContext } from './thread.ts';

const TASKS: Readonly<Record<JobKind, (thread: ThreadContext, job: Job, task: number) => void>> = {
  'dense-blocks': denseBlockTask,
  'dense-ranges': denseRangeTask,
  'sparse-rows': sparseRowsTask,
};

/** Does one task of the job that `jobArguments` describe. */
export function runTask(thread: ThreadContext, jobArguments: Float64Array, task: number): void {
  const job = readJob(jobArguments);
  catchUpWith(job, thread);
  TASKS[job.kind](thread, job, task);
}
