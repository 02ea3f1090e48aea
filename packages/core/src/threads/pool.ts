/** Threads that help the one that owns a control block, and do its jobs with it. */
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
import type { SpawnOptions, Thread } from './platform.ts';

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
   * Publishes a job of tasks 0 to `tasks` - 1, whose numbers are in the control block. The owner then claims tasks like a
   * helper, counts each of them by `finish`, and settles the job. Throws `thread-failed` where a helper died or hangs.
   */
  publish(tasks: number): void;
  /** A task that nobody has taken yet; undefined when none is left. */
  claim(configuration: number): number | undefined;
  /** Counts a claimed task as done, also where it failed. */
  finish(): void;
  /**
   * Waits for the tasks of the helpers. Throws the owner's own failure where there is one, and else `thread-failed` where
   * a task failed in a helper: either leaves the pool ready for the next job. A helper that died or hangs ends it.
   */
  settle(tasks: number, failure?: { error: unknown }): void;
  dispose(): Promise<void>;
}

export interface PoolOptions {
  control: Control;
  /** Threads in all, the owner included. */
  threads: number;
  /** Starts a helper. */
  spawn: (options: SpawnOptions) => Promise<Thread>;
  /** Longest time without a finished task before the threads are given up. Default: a minute. */
  stallTimeoutMs?: number;
}

/** Starts the helpers. Throws `thread-failed` when one does not start, and then leaves none running. */
export async function createThreadPool(options: PoolOptions): Promise<ThreadPool> {
  const { control, threads, spawn, stallTimeoutMs = STALL_TIMEOUT_MS } = options;
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
    publish(tasks) {
      if (tasks > MAX_JOB_TASKS) throw new RangeError(`a job has at most ${MAX_JOB_TASKS} tasks, not ${tasks}`);
      if (broken !== undefined) throw threadFailed(broken);
      publishJob(control, tasks);
    },
    claim: (configuration) => claimTask(control, configuration),
    finish: () => finishTask(control),
    settle(tasks, failure) {
      if (!awaitJob(control, tasks, stallTimeoutMs)) {
        // The task in hand may still end, and would then be counted for another job: there must be no other.
        broken = `no progress for ${stallTimeoutMs} ms`;
        throw threadFailed(broken);
      }
      const reason = takeFailure(control);
      if (failure !== undefined) throw failure.error;
      if (reason !== undefined) throw threadFailed(reason);
    },
    dispose,
  };
}

function threadFailed(found: string, cause?: unknown): KeysieveError {
  return new KeysieveError({
    code: 'thread-failed',
    problem: 'A worker thread failed.',
    found,
    remedy: 'Create its owner again, or with one thread.',
    cause,
  });
}
