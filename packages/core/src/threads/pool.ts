/**
 * The threads that help one thread with its jobs: one pool of them, however many owners of jobs there are. Owners join it
 * with the number of threads that they can use; the pool has as many helpers as the largest of them asks for, and the
 * last owner that leaves ends them.
 */
import { KeysieveError } from '../errors.ts';
import {
  abandonJob,
  announceMessage,
  awaitJob,
  type Control,
  claimTask,
  createControlBuffer,
  finishTask,
  isBusy,
  MAX_HELPERS,
  MAX_JOB_TASKS,
  openControl,
  pause,
  prewakeHelpers,
  publishJob,
  resetHelper,
  stop,
  takeFailure,
  taskOf,
} from './control.ts';
import type { HelperMessage } from './helper.ts';
import type { SpawnOptions, Thread } from './thread.ts';

/** Longest time without a finished task before the threads that have one in hand are given up. */
const STALL_TIMEOUT_MS = 60_000;
/** Longest time until a thread that was told to end has done so. */
const TERMINATION_MS = 1000;
/** Helpers that are replaced before a job is done again: where more of them go, new ones would, too. */
const MAX_REPLACEMENTS = 4;

export interface ThreadPool {
  /** Threads that help now. */
  readonly helpers: number;
  /**
   * Makes an owner of jobs for `threads` threads, itself included. Throws `thread-failed` when a thread does not start,
   * and `invalid-argument` for more than a pool can have.
   */
  join(threads: number): Promise<JobThreads>;
}

/** The threads as one owner of jobs sees them. */
export interface JobThreads {
  /** Threads that work, the owner included. */
  readonly threads: number;
  /**
   * Sends each helper its setup, with which the next jobs are done; `setupOf` is given the thread's number, from 1. It is
   * asked again for a helper that takes the place of one that has died.
   */
  configure(setupOf: (thread: number) => unknown): void;
  /** Resolves when the helpers have taken, or could not take, every setup so far. */
  configured(): Promise<void>;
  /** Wakes the helpers for a number of jobs, of any owners, that will be run in a moment. */
  prewake(jobs: number): void;
  /**
   * Does a job of tasks 0 to `tasks` - 1: with the helpers, by `runTask` on the calling thread. Throws what `runTask`
   * throws, and else `thread-failed` where a task failed in a helper, or a helper died or hangs with one in hand. The next
   * job can be done in any case; a helper that has gone is replaced.
   */
  run(tasks: number, runTask: (task: number) => void): void;
  /** Milliseconds that the last job has waited for its helpers. */
  readonly waitedMs: number;
  /** Leaves the pool; jobs can no longer be run. Leaving again does nothing. */
  leave(): Promise<void>;
}

export interface PoolOptions {
  /** Starts a helper. */
  spawn: (options: SpawnOptions) => Promise<Thread>;
  /** Longest time without a finished task before the threads that have one in hand are given up. Default: a minute. */
  stallTimeoutMs?: number;
}

interface Helper {
  thread: Thread | undefined;
  /** Settles when it listens. */
  started: Promise<void>;
  /** Messages that it has not answered yet. */
  unanswered: number;
  /** Called when it has answered all of them, or can no longer. */
  waiting: (() => void)[];
}

interface Member {
  id: number;
  threads: number;
  configuration: number;
  setupOf: ((thread: number) => unknown) | undefined;
}

export function createThreadPool({ spawn, stallTimeoutMs = STALL_TIMEOUT_MS }: PoolOptions): ThreadPool {
  const helpers: Helper[] = [];
  const members = new Map<number, Member>();
  let buffer: SharedArrayBuffer | undefined;
  let control: Control | undefined;
  let lastId = 0;
  /** Helpers that were replaced since a job was last done. */
  let replacements = 0;

  /** Starts the helper of this number, which then is told of every owner that can use it. */
  function start(number: number): Helper {
    buffer ??= createControlBuffer();
    control ??= openControl(buffer);
    resetHelper(control, number);
    const helper: Helper = { thread: undefined, started: Promise.resolve(), unanswered: 0, waiting: [] };
    helper.started = startThread(helper).then(() => {
      if (helpers[number] !== helper) return void helper.thread?.terminate();
      post(helper, { type: 'join', control: buffer as SharedArrayBuffer, helper: number });
      for (const member of members.values()) configureHelper(number, member);
    });
    helper.started.catch(() => {});
    return helper;
  }

  function startThread(helper: Helper): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const onEnd = (error?: Error) => {
        stopWaiting(helper);
        reject(error ?? new Error('A worker thread ended.'));
        const number = helpers.indexOf(helper);
        // Whoever waits for one that has not begun learns of it.
        if (number >= 0 && helper.thread !== undefined) replace(number);
      };
      const spawned = spawn({
        // A helper's first message says that it listens, each further one that it has taken a message.
        onMessage() {
          if (helper.thread !== undefined && --helper.unanswered === 0) stopWaiting(helper);
          void spawned.then((thread) => {
            helper.thread = thread;
            resolve();
          });
        },
        onError: onEnd,
        onExit: onEnd,
      });
      spawned.catch(reject);
    });
  }

  /** Gives the place of a helper that is of no more use to a new one, unless they go again and again. */
  function replace(number: number): void {
    const helper = helpers[number] as Helper;
    const { thread } = helper;
    void thread?.terminate();
    helper.thread = undefined;
    if (replacements++ < MAX_REPLACEMENTS) helpers[number] = start(number);
    else resetHelper(control as Control, number);
  }

  function post(helper: Helper, message: HelperMessage): void {
    helper.unanswered++;
    helper.thread?.post(message);
  }

  function stopWaiting(helper: Helper): void {
    helper.unanswered = 0;
    for (const resolve of helper.waiting.splice(0)) resolve();
  }

  /** Sends a helper that listens a message. */
  function send(number: number, message: HelperMessage): void {
    const helper = helpers[number] as Helper;
    if (helper.thread === undefined) return;
    announceMessage(control as Control, number);
    post(helper, message);
  }

  function configureHelper(number: number, { id, threads, configuration, setupOf }: Member): void {
    if (number >= threads - 1 || setupOf === undefined) return;
    send(number, { type: 'configure', owner: id, configuration, setup: setupOf(number + 1) });
  }

  async function endAll(): Promise<void> {
    const threads = helpers.map(({ thread }) => thread);
    helpers.length = 0;
    if (control !== undefined) stop(control);
    buffer = undefined;
    control = undefined;
    await Promise.all(threads.map((thread) => thread?.terminate()));
  }

  async function join(threads: number): Promise<JobThreads> {
    if (threads - 1 > MAX_HELPERS) {
      throw new KeysieveError({
        code: 'invalid-argument',
        problem: `There can be at most ${MAX_HELPERS + 1} threads.`,
        found: threads,
        remedy: 'Use one for each processor of the machine.',
      });
    }
    const member: Member = { id: ++lastId, threads, configuration: 0, setupOf: undefined };
    members.set(member.id, member);
    while (helpers.length < threads - 1) helpers.push(start(helpers.length));
    const started = await Promise.allSettled(helpers.slice(0, threads - 1).map((helper) => helper.started));
    const failed = started.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) {
      members.delete(member.id);
      // Those behind the first that has not started are taken out with it, so that numbers stay without gaps.
      const gap = started.indexOf(failed);
      const ended = helpers.splice(gap).map(({ thread }) => thread?.terminate());
      await Promise.all(ended);
      if (members.size === 0) await endAll();
      throw threadFailed(String(failed.reason), failed.reason);
    }
    return createJobThreads(member);
  }

  function createJobThreads(member: Member): JobThreads {
    const { id, threads } = member;
    let waitedMs = 0;

    async function leave(): Promise<void> {
      if (!members.delete(id)) return;
      if (members.size === 0) return endAll();
      for (let number = 0; number < Math.min(helpers.length, threads - 1); number++) {
        send(number, { type: 'forget', owner: id });
      }
    }

    function runAlone(tasks: number, runTask: (task: number) => void): void {
      for (let task = 0; task < tasks; task++) runTask(task);
    }

    function runShared(current: Control, tasks: number, runTask: (task: number) => void): void {
      publishJob(current, tasks, { owner: id, configuration: member.configuration });
      let failure: { error: unknown } | undefined;
      const always = () => true;
      for (let claim = claimTask(current, always); claim !== undefined; claim = claimTask(current, always)) {
        // An error ends the work, not the counting.
        try {
          if (failure === undefined) runTask(taskOf(claim));
        } catch (error) {
          failure = { error };
        }
        finishTask(current, claim);
      }
      const waiting = performance.now();
      const lost = awaitTasks(current, tasks);
      waitedMs = performance.now() - waiting;
      const reason = takeFailure(current, id);
      if (failure !== undefined) throw failure.error;
      if (lost !== undefined) throw threadFailed(lost);
      if (reason !== undefined) throw threadFailed(reason);
      replacements = 0;
    }

    return {
      threads,
      get waitedMs() {
        return waitedMs;
      },
      configure(setupOf) {
        member.configuration++;
        member.setupOf = setupOf;
        for (const number of helpers.keys()) configureHelper(number, member);
      },
      async configured() {
        const busy = helpers.slice(0, threads - 1).filter(({ unanswered }) => unanswered > 0);
        // An idle thread does not keep the process alive, which would end in the middle of this.
        const alive = setInterval(() => {}, 1000);
        try {
          await Promise.all(busy.map(({ waiting }) => new Promise<void>((resolve) => waiting.push(resolve))));
        } finally {
          clearInterval(alive);
        }
      },
      prewake(jobs) {
        if (threads > 1 && control !== undefined) prewakeHelpers(control, jobs);
      },
      run(tasks, runTask) {
        if (tasks > MAX_JOB_TASKS) throw new RangeError(`a job has at most ${MAX_JOB_TASKS} tasks, not ${tasks}`);
        if (threads === 1 || control === undefined) runAlone(tasks, runTask);
        else runShared(control, tasks, runTask);
      },
      leave,
    };
  }

  /** Waits for the tasks that helpers have in hand. Returns why they will never be done, where that is so. */
  function awaitTasks(current: Control, tasks: number): string | undefined {
    const isDead = ({ thread }: Helper) => thread?.hasEnded() === true;
    const withTask = () => [...helpers.keys()].filter((number) => isBusy(current, number));
    const diedWithTask = () => withTask().some((number) => isDead(helpers[number] as Helper));
    if (awaitJob(current, tasks, (stalledMs) => stalledMs >= stallTimeoutMs || diedWithTask())) return undefined;
    // Nobody may be at work on this job when the next one uses its memory again.
    abandonJob(current);
    const isLost = diedWithTask();
    if (!isLost) for (const number of withTask()) void helpers[number]?.thread?.terminate();
    const end = performance.now() + (isLost ? stallTimeoutMs : TERMINATION_MS);
    const isDone = () => withTask().every((number) => isDead(helpers[number] as Helper));
    while (!isDone() && performance.now() < end) pause(current);
    for (const number of withTask()) replace(number);
    return isLost ? 'a thread ended in the middle of a task' : `no progress for ${stallTimeoutMs} ms`;
  }

  return {
    get helpers() {
      return helpers.length;
    },
    join,
  };
}

function threadFailed(found: string, cause?: unknown): KeysieveError {
  return new KeysieveError({
    code: 'thread-failed',
    problem: 'A worker thread failed.',
    found,
    remedy: 'Try again: a thread that has gone is replaced. Where it fails again, use one thread.',
    cause,
  });
}
