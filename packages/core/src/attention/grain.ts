/** How a job is cut into tasks, so that threads are busy and tasks are worth their while. */
import { PAGE_KEYS } from '../kernels/layout.ts';
import { LARGEST_JOB } from '../threads/control.ts';
import type { JobKind } from './job.ts';

/** Query rows of one task of dense attention: as many as make the products large and stay within the cache. */
const BLOCK_ROWS = 192;
/** A range of keys that is worth a task of its own. */
const SMALLEST_RANGE = 8 * PAGE_KEYS;
/** Tasks for each thread: more balance better, fewer cost less. */
const TASKS_A_THREAD = 3;
/** Queries that share the widening of a page. */
const SMALLEST_BLOCK = 8;

/** Queries of one task of dense attention, where `group` query heads share a key-value head. */
export const largestBlock = (group: number): number => Math.max(1, Math.floor(BLOCK_ROWS / group));

/** Queries that one job can take: blocks of the largest size, as many as there may be tasks. */
export const mostQueries = (heads: number, keyValueHeads: number): number =>
  largestBlock(heads / keyValueHeads) * Math.max(1, Math.floor(LARGEST_JOB / keyValueHeads));

export interface JobSize {
  heads: number;
  keyValueHeads: number;
  threads: number;
  /** Position of the first query. */
  position: number;
  /** Queries. */
  count: number;
}

/** The job's `grain`; for sparse-parts see `sparse-parts.ts`. */
export function grainOf(
  kind: Exclude<JobKind, 'sparse-parts'>,
  { heads, keyValueHeads, threads, position, count }: JobSize,
): number {
  const tasks = threads * TASKS_A_THREAD;
  switch (kind) {
    case 'sparse-groups':
    case 'samples':
      return Math.ceil((count * keyValueHeads) / LARGEST_JOB);
    case 'dense-ranges': {
      const keys = Math.ceil(((position + 1) * keyValueHeads) / tasks / PAGE_KEYS) * PAGE_KEYS;
      return Math.max(SMALLEST_RANGE, keys);
    }
    case 'sparse-blocks':
      return largestBlock(heads / keyValueHeads);
    case 'dense-blocks': {
      const even = Math.max(SMALLEST_BLOCK, Math.ceil((count * keyValueHeads) / tasks));
      return Math.min(largestBlock(heads / keyValueHeads), even);
    }
  }
}
