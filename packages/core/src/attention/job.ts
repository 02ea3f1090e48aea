/**
 * A job: the attention of one layer for some queries, as numbers that go through the threads' control block.
 *
 * The exchange lies in the first region's arena: queries (count, heads, d), outputs (count, heads, d), the partial
 * states of a split decode, and for each query row what was read and its certificate. A job that samples has its plan
 * there, and finds the dense outputs where others leave theirs.
 */
import type { Segment } from '../cache/slabs.ts';

/** How a job is cut into tasks. */
export const JOB_KINDS = [
  'full-blocks',
  'full-ranges',
  'decode-groups',
  'decode-split',
  'prefill-blocks',
  'measure',
] as const;
export type JobKind = (typeof JOB_KINDS)[number];

/** Addresses in the exchange's arena. */
export interface JobBufferAddresses {
  queries: number;
  outputs: number;
  /** (count * heads, ROW_RESULTS): see `row-result.ts`. Of samples: (count * heads, numbers of a record). */
  results: number;
  /** Softmax states (keyValueHeads, ranges) of `group` rows, `partialBytes` apart. Of sparse-parts: what parts come to. */
  partials: number;
  /** Of samples: see `sampling.ts`. */
  measurePlan: number;
  /** Of sparse-blocks: (tasks, BLOCK_SUMS), see `shares.ts`. */
  blockErrors: number;
}

export interface Job extends JobBufferAddresses {
  /** Number of the job: another one for every job of a control block. */
  number: number;
  kind: JobKind;
  layer: number;
  /** Position of the first query, of samples that of the last; the cache holds its key and those of the others already. */
  position: number;
  /** Queries. */
  count: number;
  /** Index among the policies. */
  policy: number;
  /** dense-blocks, sparse-blocks: queries in a block. dense-ranges: keys in a range, a multiple of 64. sparse-groups, samples: groups in a task. sparse-parts: parts of a group. */
  blockSize: number;
  /** sparse-parts: groups that are not split, the first ones. */
  unsplitGroups: number;
  /** Norms of each key-value head: bounds on those of keys and of values, and what is typical of values. */
  norms: number[];
  /** sparse-blocks: what part of the budget each key-value head gets, 1 where all get the same. Of others: none. */
  budgetFactors: readonly number[];
  segments: Segment[];
  /** Sizes of the memories: of the exchange, then of each region. */
  memoryBytes: number[];
}

const NUMBER_FIELDS = [
  'number',
  'layer',
  'position',
  'count',
  'policy',
  'blockSize',
  'unsplitGroups',
  'queries',
  'outputs',
  'results',
  'partials',
  'measurePlan',
  'blockErrors',
] as const;

/** Where the fields begin: behind the kind. */
const FIRST_FIELD = 1;

/** Most numbers that a job takes. */
export const maxJobNumbers = (keyValueHeads: number, regions: number): number =>
  FIRST_FIELD +
  NUMBER_FIELDS.length +
  1 +
  3 * keyValueHeads +
  1 +
  keyValueHeads +
  1 +
  4 * (regions + 1) +
  1 +
  1 +
  regions;

/** Number of the job that was written last. */
export const jobNumber = (source: Float64Array): number => source[FIRST_FIELD] as number;

/** Written and read by index: every layer of every token has a job. */
export function writeJob(target: Float64Array, job: Job): void {
  const { norms, budgetFactors, segments, memoryBytes } = job;
  let at = 0;
  target[at++] = JOB_KINDS.indexOf(job.kind);
  for (const field of NUMBER_FIELDS) target[at++] = job[field];
  target[at++] = norms.length;
  for (const norm of norms) target[at++] = norm;
  target[at++] = budgetFactors.length;
  for (const factor of budgetFactors) target[at++] = factor;
  target[at++] = segments.length;
  for (const { region, from, to, open } of segments) {
    target[at++] = region;
    target[at++] = from;
    target[at++] = to;
    target[at++] = open ? 1 : 0;
  }
  target[at++] = memoryBytes.length;
  for (const bytes of memoryBytes) target[at++] = bytes;
}

export function readJob(source: Float64Array): Job {
  let at = 0;
  const next = () => source[at++] as number;
  const kind = JOB_KINDS[next()] as JobKind;
  const fields = {} as Record<(typeof NUMBER_FIELDS)[number], number>;
  for (const field of NUMBER_FIELDS) fields[field] = next();
  const norms = listOf(next(), next);
  const budgetFactors = listOf(next(), next);
  const segments = listOf(next(), () => ({ region: next(), from: next(), to: next(), open: next() === 1 }));
  const memoryBytes = listOf(next(), next);
  return { kind, ...fields, norms, budgetFactors, segments, memoryBytes };
}

function listOf<T>(length: number, next: () => T): T[] {
  const list: T[] = [];
  for (let i = 0; i < length; i++) list.push(next());
  return list;
}

/** Tasks of a job for a cache of so many key-value heads. */
export function taskCount(job: Job, keyValueHeads: number): number {
  switch (job.kind) {
    case 'full-blocks':
    case 'prefill-blocks':
      return keyValueHeads * Math.ceil(job.count / job.blockSize);
    case 'full-ranges':
      return keyValueHeads * Math.ceil((job.position + 1) / job.blockSize);
    case 'decode-split':
      return job.unsplitGroups + (keyValueHeads - job.unsplitGroups) * job.blockSize;
    case 'decode-groups':
    case 'measure':
      return Math.ceil((job.count * keyValueHeads) / job.blockSize);
  }
}
