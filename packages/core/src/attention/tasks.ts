/** Every kind of task, by the kind of its job. */
import { decodeGroupsTask } from './decode.ts';
import { fullBlockTask, fullRangeTask } from './full.ts';
import { batchNumber, type Job, type JobKind, openJobData, readBatch, taskCount } from './job.ts';
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

/** Jobs whose tasks are numbered through. */
export interface OpenBatch {
  readonly jobs: readonly Job[];
  /** For each job, the number of the first task of the next one. */
  readonly ends: readonly number[];
}

export function openBatch(jobs: readonly Job[], keyValueHeads: number): OpenBatch {
  let end = 0;
  const ends = jobs.map((job) => {
    end += taskCount(job, job, keyValueHeads);
    return end;
  });
  return { jobs, ends };
}

/** Does one task of a batch. */
export function runTask(thread: ThreadContext, { jobs, ends }: OpenBatch, task: number): void {
  let index = 0;
  while (task >= (ends[index] as number)) index++;
  const job = jobs[index] as Job;
  TASKS[job.kind](thread, job, index === 0 ? task : task - (ends[index - 1] as number));
}

/** Does tasks, as they are claimed, of the batches that stand in `batchNumbers`; each batch is read once. */
export function createTaskRunner(thread: ThreadContext, batchNumbers: Float64Array): (task: number) => void {
  let batch: OpenBatch | undefined;
  let number = 0;
  return (task) => {
    if (batch === undefined || number !== batchNumber(batchNumbers)) {
      const message = readBatch(batchNumbers);
      number = message.number;
      growMemories(message.memoryBytes, thread);
      const { f32 } = thread.jobMemory.views();
      const jobs = message.jobs.map((job): Job => ({ ...job, data: openJobData(job.addresses, f32) }));
      batch = openBatch(jobs, thread.shape.keyValueHeads);
    }
    runTask(thread, batch, task);
  };
}
