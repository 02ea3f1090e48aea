/**
 * The block of shared memory through which one thread hands tasks to others. A job is a number of tasks that any
 * thread may take, and a list of numbers that says what they are. Threads claim tasks one by one, so a thread that
 * the system has put aside holds nobody up but for the task it has in hand.
 *
 * The claim word holds the number of the job in its upper 20 bits and that of the next task in its lower 12. A thread
 * claims by compare-and-swap, so a claim is only ever made on the job that was current when the thread looked.
 */

const CLAIM = 0;
const JOB = 1;
const DONE = 2;
const TASKS = 3;
const CONFIGURATION = 4;
const STOPPED = 5;
const FAILED = 6;

const TASK_BITS = 12;
const TASK_MASK = 2 ** TASK_BITS - 1;

/** Most tasks of one job. */
export const MAX_JOB_TASKS = TASK_MASK;

const WORDS = 16;
const REASON_OFFSET = WORDS * 4;
const REASON_BYTES = 960;
const ARGUMENTS_OFFSET = REASON_OFFSET + REASON_BYTES;

export type ControlBuffer = SharedArrayBuffer | ArrayBuffer;

export interface Control {
  readonly words: Int32Array;
  /** Why a task failed: UTF-8, ended by a zero. */
  readonly reason: Uint8Array;
  /** What the tasks of the current job are. */
  readonly arguments: Float64Array;
}

/**
 * A block for threads to share, or for one thread where memory cannot be shared, with room for jobs of at most
 * `mostArguments` numbers.
 */
export function createControlBuffer(shared: boolean, maxArguments: number): ControlBuffer {
  const bytes = ARGUMENTS_OFFSET + maxArguments * 8;
  return shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
}

export function openControl(buffer: ControlBuffer): Control {
  return {
    words: new Int32Array(buffer, 0, WORDS),
    reason: new Uint8Array(buffer, REASON_OFFSET, REASON_BYTES),
    arguments: new Float64Array(buffer, ARGUMENTS_OFFSET),
  };
}

/** Publishes a job; its arguments are in place. Returns the job's number. */
export function publishJob({ words }: Control, tasks: number): number {
  const job = (Atomics.load(words, JOB) + 1) | 0;
  // First a claim word with no task left: a thread that looked before can no longer claim on the old one.
  Atomics.store(words, CLAIM, (job << TASK_BITS) | TASK_MASK);
  Atomics.store(words, DONE, 0);
  Atomics.store(words, TASKS, tasks);
  Atomics.store(words, CLAIM, job << TASK_BITS);
  Atomics.store(words, JOB, job);
  Atomics.notify(words, JOB);
  return job;
}

/** Number of the task claimed from the current job, or undefined when none is left or the configuration is not ours. */
export function claimTask({ words }: Control, configuration: number): number | undefined {
  for (;;) {
    const claim = Atomics.load(words, CLAIM);
    const task = claim & TASK_MASK;
    if (Atomics.load(words, CONFIGURATION) !== configuration) return undefined;
    if (task >= Atomics.load(words, TASKS)) return undefined;
    if (Atomics.compareExchange(words, CLAIM, claim, claim + 1) === claim) return task;
  }
}

/** Counts a task as done. */
export function finishTask({ words }: Control): void {
  if (Atomics.add(words, DONE, 1) + 1 === Atomics.load(words, TASKS)) Atomics.notify(words, DONE);
}

/** Notes that a task could not be done, before it is counted as done; the job's owner throws. The first reason stays. */
export function failTask({ words, reason }: Control, why: string): void {
  if (Atomics.exchange(words, FAILED, 1) !== 0) return;
  const text = new TextEncoder().encode(why).subarray(0, REASON_BYTES - 1);
  reason.fill(0);
  reason.set(text);
}

/** Why a task of any thread failed since the last call; undefined when none did. No job is running. */
export function takeFailure({ words, reason }: Control): string | undefined {
  if (Atomics.exchange(words, FAILED, 0) === 0) return undefined;
  // A copy: text is not decoded from shared memory.
  return new TextDecoder().decode(reason.slice(0, reason.indexOf(0)));
}

const SPINS = 2000;
const WAIT_MS = 100;

/** Waits until all tasks of the job are done; false when there was no progress for `patienceMs`. */
export function awaitJob({ words }: Control, tasks: number, stallTimeoutMs: number): boolean {
  for (let i = 0; i < SPINS; i++) if (Atomics.load(words, DONE) === tasks) return true;
  let waited = 0;
  for (;;) {
    const done = Atomics.load(words, DONE);
    if (done === tasks) return true;
    if (waited >= stallTimeoutMs) return false;
    const outcome = waitOn(words, DONE, done, WAIT_MS);
    waited = outcome === 'timed-out' && Atomics.load(words, DONE) === done ? waited + WAIT_MS : 0;
  }
}

/** Longest busy wait for a job that was announced: writing the keys of a token takes a tenth of it. */
const PREWAKE_SPIN_MS = 0.5;

/** Says that a job will be published in a moment: a thread that sleeps takes some time to wake, and may begin with it. */
export function prewakeHelpers({ words }: Control): void {
  Atomics.notify(words, JOB);
}

/** Sleeps until a job other than `job` is published; once one is announced, it waits awake for some time. */
export function awaitNextJob({ words }: Control, job: number): void {
  while (waitOn(words, JOB, job, Number.POSITIVE_INFINITY) === 'ok') {
    const end = performance.now() + PREWAKE_SPIN_MS;
    do {
      for (let i = 0; i < SPINS; i++) if (Atomics.load(words, JOB) !== job) return;
    } while (performance.now() < end);
  }
}

export const currentJob = ({ words }: Control): number => Atomics.load(words, JOB);

/** Publishes a configuration: threads that have another take no more tasks and go to look for it. */
export function publishConfiguration({ words }: Control, configuration: number): void {
  Atomics.store(words, CONFIGURATION, configuration);
  wake(words);
}

export const isConfiguration = ({ words }: Control, configuration: number): boolean =>
  Atomics.load(words, CONFIGURATION) === configuration;

/** Tells the threads to end. */
export function stop({ words }: Control): void {
  Atomics.store(words, STOPPED, 1);
  wake(words);
}

export const isStopped = ({ words }: Control): boolean => Atomics.load(words, STOPPED) !== 0;

/** Wakes sleeping threads without giving them a task. */
function wake(words: Int32Array): void {
  Atomics.store(words, TASKS, 0);
  Atomics.add(words, JOB, 1);
  Atomics.notify(words, JOB);
}

/** Atomics.wait, or a short busy wait on a thread that must not sleep (the main thread of a page). */
function waitOn(words: Int32Array, index: number, value: number, timeoutMs: number): 'ok' | 'not-equal' | 'timed-out' {
  try {
    return Atomics.wait(words, index, value, timeoutMs);
  } catch {
    const end = performance.now() + Math.min(timeoutMs, WAIT_MS);
    while (performance.now() < end) if (Atomics.load(words, index) !== value) return 'ok';
    return 'timed-out';
  }
}
