/** How large the blocks of a job are, so that threads are busy and tasks are worth their overhead. */
import { PAGE_KEYS } from '../kernels/layout.ts';
import { MAX_JOB_TASKS } from '../threads/control.ts';
import type { JobKind } from './job.ts';

/** Query rows of one task of full attention: enough to make the products large, few enough for the processor's cache. */
const MAX_BLOCK_ROWS = 192;
/** A range of keys that is worth a task of its own. */
const MIN_RANGE_KEYS = 8 * PAGE_KEYS;
/** More tasks balance better, fewer have less overhead. */
const TASKS_PER_THREAD = 3;
/** Queries that share the conversion of a page to float32. */
const MIN_BLOCK_QUERIES = 8;

/** Maximum number of queries in a block, where `groupSize` query heads share a key-value head. */
export const maxBlockQueries = (groupSize: number): number => Math.max(1, Math.floor(MAX_BLOCK_ROWS / groupSize));

/** Maximum number of queries of a job: a block of the largest size for each task that a job may have. */
export const maxJobQueries = (heads: number, keyValueHeads: number): number =>
  maxBlockQueries(heads / keyValueHeads) * Math.max(1, Math.floor(MAX_JOB_TASKS / keyValueHeads));

/** The `blockSize` of a job with `count` queries from `position` on. That of `decode-split` is found by `planSplit`. */
export function blockSizeOf(
  kind: Exclude<JobKind, 'decode-split'>,
  { heads, keyValueHeads, threads }: { heads: number; keyValueHeads: number; threads: number },
  position: number,
  count: number,
): number {
  const tasks = threads * TASKS_PER_THREAD;
  switch (kind) {
    case 'decode-groups':
    case 'measure':
      return Math.ceil((count * keyValueHeads) / MAX_JOB_TASKS);
    case 'full-ranges': {
      const keys = Math.ceil(((position + 1) * keyValueHeads) / tasks / PAGE_KEYS) * PAGE_KEYS;
      return Math.max(MIN_RANGE_KEYS, keys);
    }
    case 'prefill-blocks':
      return maxBlockQueries(heads / keyValueHeads);
    case 'full-blocks': {
      const balanced = Math.max(MIN_BLOCK_QUERIES, Math.ceil((count * keyValueHeads) / tasks));
      return Math.min(maxBlockQueries(heads / keyValueHeads), balanced);
    }
  }
}
