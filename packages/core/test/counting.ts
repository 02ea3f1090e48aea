/** Jobs whose tasks count themselves, to see that each is done once. */
import { Worker } from 'node:worker_threads';
import { watchNodeThread } from '../src/threads/node.ts';
import type { SpawnOptions, Thread } from '../src/threads/thread.ts';

export interface CountingSetup {
  counts: SharedArrayBuffer;
  /** What the tasks of the current job are: see `writeCountingJob`. */
  job: SharedArrayBuffer;
  /** Number of the thread; the owner is 0. */
  thread: number;
  failsToOpen: boolean;
}

export const MAX_TASKS = 4095;
const MAX_THREADS = 8;

/** What a job's tasks do, then the number of the job again and again. */
export const createCountingJob = (): SharedArrayBuffer => new SharedArrayBuffer(8 * 64);

/** What the tasks of a job do on a helper. */
export const BEHAVIOUR = { count: 0, throw: 1, hang: 2, die: 3 } as const;

export interface Counts {
  /** How often each task was done, in all jobs. */
  readonly tasks: Int32Array;
  /** How many tasks each thread has done. */
  readonly threads: Int32Array;
  /** Tasks that found the arguments of two jobs. */
  readonly torn: Int32Array;
  /** Not zero while helpers keep the task that they have in hand. */
  readonly paused: Int32Array;
}

export const createCounts = (): SharedArrayBuffer => new SharedArrayBuffer(4 * (MAX_TASKS + MAX_THREADS + 2));

export const openCounts = (buffer: SharedArrayBuffer): Counts => ({
  tasks: new Int32Array(buffer, 0, MAX_TASKS),
  threads: new Int32Array(buffer, 4 * MAX_TASKS, MAX_THREADS),
  torn: new Int32Array(buffer, 4 * (MAX_TASKS + MAX_THREADS), 1),
  paused: new Int32Array(buffer, 4 * (MAX_TASKS + MAX_THREADS + 1), 1),
});

export function writeCountingJob(numbers: Float64Array, job: number, behaviour: number): void {
  numbers.fill(job);
  numbers[0] = behaviour;
}

export function countTask(numbers: Float64Array, counts: Counts, task: number, thread: number): void {
  const [behaviour, ...job] = numbers;
  if (job.some((number) => number !== job[0])) Atomics.add(counts.torn, 0, 1);
  Atomics.add(counts.tasks, task, 1);
  Atomics.add(counts.threads, thread, 1);
  if (thread === 0) return;
  while (Atomics.load(counts.paused, 0) !== 0) Atomics.wait(counts.paused, 0, 1);
  if (behaviour === BEHAVIOUR.throw) throw new Error(`task ${task} of thread ${thread} cannot be done`);
  if (behaviour === BEHAVIOUR.hang) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  if (behaviour === BEHAVIOUR.die) process.exit(1);
}

/** Starts a counting worker, as `spawnAttentionThread` starts one that does attention. */
export async function spawnCounting(options: SpawnOptions): Promise<Thread> {
  return watchNodeThread(new Worker(new URL('./counting-worker.dev.mjs', import.meta.url)), options);
}
