/**
 * The block of shared memory through which one thread hands tasks to others. A job is a number of tasks that any
 * thread may take; it belongs to one of the owners that share the threads, and what its tasks are stands where that owner
 * and its helpers know. Threads claim tasks one by one, so a thread that the system has put aside holds nobody up but for
 * the task it has in hand.
 *
 * The claim word holds the number of the job in its upper 20 bits and that of the next task in its lower 12; so does the
 * word that counts the tasks that are done. A thread claims by compare-and-swap, so a claim is only ever made on the job
 * that was current when the thread looked, and a task of a job that was given up counts for no other.
 */

const CLAIM = 0;
const JOB = 1;
const DONE = 2;
const TASKS = 3;
const OWNER = 4;
const CONFIGURATION = 5;
const STOPPED = 6;
const FAILED = 7;
const EXPECTED = 8;

const TASK_BITS = 12;
const TASK_MASK = 2 ** TASK_BITS - 1;

/** Most tasks of one job. */
export const MAX_JOB_TASKS = TASK_MASK;
/** Most helpers that one block is for. */
export const MAX_HELPERS = 1024;

const WORDS = 16;
const REASON_OFFSET = WORDS * 4;
const REASON_BYTES = 960;
const POSTED_OFFSET = REASON_OFFSET + REASON_BYTES;
const BUSY_OFFSET = POSTED_OFFSET + MAX_HELPERS * 4;
const BYTES = BUSY_OFFSET + MAX_HELPERS * 4;

export interface Control {
  readonly words: Int32Array;
  /** Why a task failed: UTF-8, ended by a zero. */
  readonly reason: Uint8Array;
  /** How many messages each helper was sent. */
  readonly posted: Int32Array;
  /** Whether each helper looks for tasks or has one in hand: 1, else 0. */
  readonly busy: Int32Array;
}

/** A block for threads to share. */
export const createControlBuffer = (): SharedArrayBuffer => new SharedArrayBuffer(BYTES);

export function openControl(buffer: SharedArrayBuffer): Control {
  return {
    words: new Int32Array(buffer, 0, WORDS),
    reason: new Uint8Array(buffer, REASON_OFFSET, REASON_BYTES),
    posted: new Int32Array(buffer, POSTED_OFFSET, MAX_HELPERS),
    busy: new Int32Array(buffer, BUSY_OFFSET, MAX_HELPERS),
  };
}

/** Whose job it is, and with which of its configurations it is done. */
export interface JobOwner {
  owner: number;
  configuration: number;
}

/** Publishes a job; what its tasks are is in place. */
export function publishJob({ words }: Control, tasks: number, { owner, configuration }: JobOwner): void {
  const job = (Atomics.load(words, JOB) + 1) | 0;
  const expected = Atomics.load(words, EXPECTED);
  if (expected > 0) Atomics.store(words, EXPECTED, expected - 1);
  // First a claim word with no task left: a thread that looked before can no longer claim on the old one.
  Atomics.store(words, CLAIM, (job << TASK_BITS) | TASK_MASK);
  Atomics.store(words, DONE, job << TASK_BITS);
  Atomics.store(words, TASKS, tasks);
  Atomics.store(words, OWNER, owner);
  Atomics.store(words, CONFIGURATION, configuration);
  Atomics.store(words, CLAIM, job << TASK_BITS);
  Atomics.store(words, JOB, job);
  Atomics.notify(words, JOB);
}

/** Ends a job before its tasks are done: none of them can be claimed any more. */
export function abandonJob({ words }: Control): void {
  Atomics.or(words, CLAIM, TASK_MASK);
  Atomics.store(words, TASKS, 0);
}

/**
 * Claims a task of the current job, where `isReady` says that this thread can do its tasks. Gives the claim, of which
 * `taskOf` gives the task; undefined where there is none.
 */
export function claimTask(
  { words }: Control,
  isReady: (owner: number, configuration: number) => boolean,
): number | undefined {
  for (;;) {
    const claim = Atomics.load(words, CLAIM);
    // Should these be of the next job already, the claim below fails.
    if ((claim & TASK_MASK) >= Atomics.load(words, TASKS)) return undefined;
    if (!isReady(Atomics.load(words, OWNER), Atomics.load(words, CONFIGURATION))) return undefined;
    if (Atomics.compareExchange(words, CLAIM, claim, claim + 1) === claim) return claim;
  }
}

export const taskOf = (claim: number): number => claim & TASK_MASK;

/** Owner of the job of which the calling thread has a task in hand. */
export const ownerOf = ({ words }: Control): number => Atomics.load(words, OWNER);

/** Counts a claimed task as done. */
export function finishTask({ words }: Control, claim: number): void {
  for (;;) {
    const done = Atomics.load(words, DONE);
    if (done >>> TASK_BITS !== claim >>> TASK_BITS) return;
    if (Atomics.compareExchange(words, DONE, done, done + 1) !== done) continue;
    if (((done + 1) & TASK_MASK) === Atomics.load(words, TASKS)) Atomics.notify(words, DONE);
    return;
  }
}

/**
 * Notes that a task could not be done, before it is counted as done, or that a helper cannot do any of an owner's; the
 * owner throws. The first reason stays, unless it is another owner's.
 */
export function failTask({ words, reason }: Control, owner: number, why: string): void {
  if (Atomics.exchange(words, FAILED, owner) === owner) return;
  const text = new TextEncoder().encode(why).subarray(0, REASON_BYTES - 1);
  reason.fill(0);
  reason.set(text);
}

/** Why a task of an owner's failed since the last call; undefined when none did. No job is running. */
export function takeFailure({ words, reason }: Control, owner: number): string | undefined {
  if (Atomics.compareExchange(words, FAILED, owner, 0) !== owner) return undefined;
  // A copy: text is not decoded from shared memory.
  return new TextDecoder().decode(reason.slice(0, reason.indexOf(0)));
}

const SPINS = 2000;
const WAIT_MS = 100;

/**
 * Waits until all tasks of the job are done. Without progress, `isHopeless` is asked ten times a second, with the
 * milliseconds that there was none; false where it says so.
 */
export function awaitJob({ words }: Control, tasks: number, isHopeless: (stalledMs: number) => boolean): boolean {
  const doneTasks = () => Atomics.load(words, DONE) & TASK_MASK;
  for (let i = 0; i < SPINS; i++) if (doneTasks() === tasks) return true;
  let stalledMs = 0;
  for (;;) {
    const done = Atomics.load(words, DONE);
    if ((done & TASK_MASK) === tasks) return true;
    if (isHopeless(stalledMs)) return false;
    const outcome = waitOn(words, DONE, done, WAIT_MS);
    stalledMs = outcome === 'timed-out' && Atomics.load(words, DONE) === done ? stalledMs + WAIT_MS : 0;
  }
}

/** Longest busy wait for a job that was announced: writing the keys of a token takes a tenth of it. */
const PREWAKE_SPIN_MS = 0.5;

/**
 * Says that a number of jobs will be published in a moment, one after the other: a thread that sleeps takes some time to
 * wake, and waking it costs more than a small job.
 */
export function prewakeHelpers({ words }: Control, jobs: number): void {
  Atomics.store(words, EXPECTED, jobs);
  Atomics.notify(words, JOB);
}

/** Sleeps until a job other than `job` is published; where one is announced, it waits awake for some time. */
export function awaitNextJob({ words }: Control, job: number): void {
  do {
    if (Atomics.load(words, EXPECTED) > 0 && spinUntilNextJob(words, job)) return;
  } while (waitOn(words, JOB, job, Number.POSITIVE_INFINITY) === 'ok' && Atomics.load(words, JOB) === job);
}

function spinUntilNextJob(words: Int32Array, job: number): boolean {
  const end = performance.now() + PREWAKE_SPIN_MS;
  do {
    for (let i = 0; i < SPINS; i++) if (Atomics.load(words, JOB) !== job) return true;
  } while (performance.now() < end);
  return false;
}

export const currentJob = ({ words }: Control): number => Atomics.load(words, JOB);

/** Counts a message to a helper, and sends it to look for it. No job is running. */
export function announceMessage({ words, posted }: Control, helper: number): void {
  Atomics.add(posted, helper, 1);
  wake(words);
}

/** How many messages a helper was sent. */
export const messagesFor = ({ posted }: Control, helper: number): number => Atomics.load(posted, helper);

/** Forgets what a helper was sent and does: another one takes its place. */
export function resetHelper({ posted, busy }: Control, helper: number): void {
  Atomics.store(posted, helper, 0);
  Atomics.store(busy, helper, 0);
}

export function setBusy({ busy }: Control, helper: number, isBusy: boolean): void {
  Atomics.store(busy, helper, isBusy ? 1 : 0);
}

export const isBusy = ({ busy }: Control, helper: number): boolean => Atomics.load(busy, helper) !== 0;

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

/** Sleeps for a moment, while others work. */
export function pause({ words }: Control): void {
  waitOn(words, STOPPED, 0, 1);
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
