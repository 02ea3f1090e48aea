/** The threads that help the one that owns a cache. Without shared memory there are none, and the owner works alone. */
import { KeysieveError } from '../errors.ts';
import {
  awaitJob,
  type Control,
  claimTask,
  finishTask,
  LARGEST_JOB,
  publishConfiguration,
  publishJob,
  stop,
  takeFailure,
} from './control.ts';
import { spawnThread, type Thread } from './platform.ts';

/** Longest time without a finished task before the threads are given up. */
const PATIENCE_MS = 60_000;

export interface ThreadPool {
  /** Threads that work, the owner included. */
  readonly threads: number;
  /** Sends each helper its setup; `setupOf` is given the thread's number, from 1. */
  configure(configuration: number, setupOf: (thread: number) => unknown): void;
  /** Does tasks 0 to `tasks` - 1 of the job whose arguments stand in the control block. */
  run(configuration: number, tasks: number, runTask: (task: number) => void): void;
  dispose(): Promise<void>;
}

export interface PoolOptions {
  control: Control;
  /** Threads in all, the owner included. */
  threads: number;
}

export async function createThreadPool({ control, threads }: PoolOptions): Promise<ThreadPool> {
  let failure: string | undefined;
  const helpers: Thread[] = await Promise.all(
    Array.from({ length: threads - 1 }, () => {
      return new Promise<Thread>((resolve, reject) => {
        const thread = spawnThread({
          onMessage(message) {
            const { failed } = message as { failed?: string };
            if (failed !== undefined) failure = failed;
            else resolve(thread);
          },
          onError(error) {
            failure = error.message;
            reject(threadFailed(error.message));
          },
        });
        thread.catch(reject);
      });
    }),
  );

  return {
    threads,
    configure(configuration, setupOf) {
      publishConfiguration(control, configuration);
      for (const [i, helper] of helpers.entries()) helper.post(setupOf(i + 1));
    },
    run(configuration, tasks, runTask) {
      if (tasks > LARGEST_JOB) throw new RangeError(`a job has at most ${LARGEST_JOB} tasks, not ${tasks}`);
      if (helpers.length === 0) {
        for (let task = 0; task < tasks; task++) runTask(task);
        return;
      }
      publishJob(control, tasks);
      let error: unknown;
      for (let task = claimTask(control, configuration); task !== undefined; task = claimTask(control, configuration)) {
        try {
          if (error === undefined) runTask(task);
        } catch (thrown) {
          error = thrown;
        }
        finishTask(control);
      }
      if (!awaitJob(control, tasks, PATIENCE_MS)) throw threadFailed(failure ?? `no progress for ${PATIENCE_MS} ms`);
      if (error !== undefined) throw error;
      if (takeFailure(control)) throw threadFailed(failure ?? 'a task threw');
    },
    async dispose() {
      stop(control);
      await Promise.all(helpers.map((helper) => helper.terminate()));
    },
  };
}

function threadFailed(found: string): KeysieveError {
  return new KeysieveError({
    code: 'thread-failed',
    problem: 'A worker thread of the attention failed.',
    found,
    remedy: 'Create the attention anew, or with one thread.',
  });
}
