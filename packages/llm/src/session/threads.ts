/**
 * How many threads are of use: the processors that this process may use, and that are not busy with other work. Threads
 * wait for each other at every layer, so that one of them without a processor holds up all.
 */
import { usableProcessors, warn, watchProcessors } from '#platform';
import { llmError } from '../errors.ts';

/** More threads than this for each processor can only be a mistake. */
const MAX_THREADS_PER_PROCESSOR = 8;

/** The number of threads that was asked for, or one for each processor that is not busy now. Throws `invalid-argument`. */
export async function chooseThreads(threads: number | undefined): Promise<number> {
  if (threads === undefined) return watchProcessors()();
  await checkThreads(threads);
  return threads;
}

/** Throws `invalid-argument` for a number that no machine has use for, and warns where threads outnumber processors. */
export async function checkThreads(threads: number): Promise<void> {
  const processors = await usableProcessors();
  if (threads > MAX_THREADS_PER_PROCESSOR * processors) {
    throw llmError({
      code: 'invalid-argument',
      problem: `There are far more threads than processors (${processors}).`,
      found: threads,
      remedy: 'Leave the number of threads out: the default is the number of processors that are not busy.',
    });
  }
  if (threads > processors) {
    warn(`${threads} threads share ${processors} processors, and wait for each other: fewer are faster.`, {
      code: 'more-threads-than-processors',
    });
  }
}
