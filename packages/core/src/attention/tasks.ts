/** Every kind of task, by the kind of its job. */
import { denseBlockTask, denseRangeTask } from './dense.ts';
import { type Job, type JobKind, jobNumber, readJob } from './job.ts';
import { samplesTask } from './sampling.ts';
import { sparseGroupsTask } from './sparse.ts';
import { sparseBlocksTask } from './sparse-blocks.ts';
import { sparsePartsTask } from './sparse-parts.ts';
import { catchUpWith, type ThreadContext } from './thread.ts';

const TASKS: Readonly<Record<JobKind, (thread: ThreadContext, job: Job, task: number) => void>> = {
  'dense-blocks': denseBlockTask,
  'dense-ranges': denseRangeTask,
  'sparse-groups': sparseGroupsTask,
  'sparse-parts': sparsePartsTask,
  'sparse-blocks': sparseBlocksTask,
  samples: samplesTask,
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
      catchUpWith(job, thread);
    }
    runTask(thread, job, task);
  };
}
