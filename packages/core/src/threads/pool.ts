/** The threads that help the one that owns a cache. Without shared memory there are none, and the owner works alone. */
import { KeysieveError } from '../errors.ts';
import {
  awaitJob,
  type Control,
  claimTask,
  finishTask,
  MAX_JOB_TASKS,
  prewakeHelpers,
  publishConfiguration,
  publishJob,
  stop,
  takeFailure,
} from './control.ts';
import { spawnThread, type Thread } from './platform.ts';

/** Longest time without a finished task before the threads are given up. */
const STALL_TIMEOUT_MS = 60_000;

export interface ThreadPool {
  /** Threads that work, the owner included. */
  readonly threads: number;
  /** Sends each helper its setup; `setupOf` is given the thread's number, from 1. */
  configure(configuration: number, setupOf: (thread: number) => unknown): void;
  /** Wakes the helpers for a job that will be run in a moment. */
  prewake(): void;
  /**
   * Does tasks 0 to `tasks` - 1 of the job whose arguments stand in the control block. Throws what `runTask` throws
   * here, and `thread-failed` where it throws in a helper. Either leaves the pool ready for the next job; only a
   * helper that died or hangs is the end of it.
   */
  run(configuration: number, tasks: number, runTask: (task: number) => void): void;
  dispose(): Promise<void>;
}

export interface PoolOptions {
  control: Control;
  /** Threads in all, the owner included. */
  threads: number;
  /** Starts a helper. Default: a worker of the platform that does attention. */
  spawn?: typeof spawnThread;
  /** Longest time without a finished task before the threads are given up. Default: a minute. */
  stallTimeoutMs?: number;
}

/** Starts the helpers. Throws `thread-failed` when one does not start, and then leaves none running. */
export async function createThreadPool(options: PoolOptions): Promise<ThreadPool> {
  const { control, threads, spawn = spawnThread, stallTimeoutMs = STALL_TIMEOUT_MS } = options;
  /** Why the helpers can no longer be relied on. */
  let broken: string | undefined;

  const start = () =>
    new Promise<Thread>((resolve, reject) => {
      const thread = spawn({
        // A helper's first message says that it listens; it sends no other.
        onMessage: () => resolve(thread),
        onError(error) {
          broken = error.message;
          reject(error);
        },
      });
      thread.catch(reject);
    });
  const started = await Promise.allSettled(Array.from({ length: threads - 1 }, start));
  const helpers = started.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const dispose = async () => {
    stop(control);
    await Promise.all(helpers.map((helper) => helper.terminate()));
  };
  const failed = started.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) {
    await dispose();
    throw threadFailed(String(failed.reason), failed.reason);
  }

  return {
    threads,
    configure(configuration, setupOf) {
      publishConfiguration(control, configuration);
      for (const [i, helper] of helpers.entries()) helper.post(setupOf(i + 1));
    },
    prewake() {
      if (helpers.length > 0) prewakeHelpers(control);
    },
    run(configuration, tasks, runTask) {
      if (tasks > MAX_JOB_TASKS) throw new RangeError(`a job has at most ${MAX_JOB_TASKS} tasks, not ${tasks}`);
      if (helpers.length === 0) {
        for (let task = 0; task < tasks; task++) runTask(task);
        return;
      }
      if (broken !== undefined) throw threadFailed(broken);
      publishJob(control, tasks);
      const errors: unknown[] = [];
      for (let task = claimTask(control, configuration); task !== undefined; task = claimTask(control, configuration)) {
        try {
          if (errors.length === 0) runTask(task);
        } catch (error) {
          errors.push(error);
        }
        finishTask(control);
      }
      if (!awaitJob(control, tasks, stallTimeoutMs)) {
        // The task in hand may still end, and would then be counted to another job: there must be no other.
        broken = `no progress for ${stallTimeoutMs} ms`;
        throw threadFailed(broken);
      }
      const failure = takeFailure(control);
      if (errors.length > 0) throw errors[0];
      if (failure !== undefined) throw threadFailed(failure);
    },
    dispose,
  };
}

function threadFailed(found: string, cause?: unknown): KeysieveError {
  return new KeysieveError({
    code: 'thread-failed',
    problem: 'A worker thread of the attention failed.',
    found,
    remedy: 'Create the attention anew, or with one thread.',
    cause,
  });
}
