/** How a job is cut into tasks, so that threads are busy and tasks are worth their while. */
import { PAGE_KEYS } from '../kernels/layout.ts';
import { MAX_JOB_TASKS } from '../threads/control.ts';
import type { JobKind } from './job.ts';

/** Query rows of one task of dense attention: as many as make the products large and stay within the cache. */
const MAX_BLOCK_ROWS = 192;
/** A range of keys that is worth a task of its own. */
const MIN_RANGE_KEYS = 8 * PAGE_KEYS;
/** Tasks for each thread: more balance better, fewer cost less. */
const TASKS_PER_THREAD = 3;
/** Queries that share the widening of a page. */
const MIN_BLOCK_QUERIES = 8;

/** Queries of one task of dense attention, where `group` query heads share a key-value head. */
export const maxBlockQueries = (groupSize: number): number => Math.max(1, Math.floor(MAX_BLOCK_ROWS / groupSize));

/** Queries that one job can take: blocks of the largest size, as many as there may be tasks. */
export const maxJobQueries = (heads: number, keyValueHeads: number): number =>
  maxBlockQueries(heads / keyValueHeads) * Math.max(1, Math.floor(MAX_JOB_TASKS / keyValueHeads));

export interface JobShape {
  heads: number;
  keyValueHeads: number;
  threads: number;
  /** Position of the first query. */
  position: number;
  /** Queries. */
  count: number;
}

/** The job's `grain`; for sparse-parts see `sparse-parts.ts`. */
export function blockSizeOf(
  kind: Exclude<JobKind, 'decode-split'>,
  { heads, keyValueHeads, threads, position, count }: JobShape,
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
