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
  'dense-blocks',
  'dense-ranges',
  'sparse-groups',
  'sparse-parts',
  'sparse-blocks',
  'samples',
] as const;
export type JobKind = (typeof JOB_KINDS)[number];

/** Addresses in the exchange's arena. */
export interface ExchangeAddresses {
  queries: number;
  outputs: number;
  /** (count * heads, ROW_RESULTS): see `row-result.ts`. Of samples: (count * heads, numbers of a record). */
  results: number;
  /** Softmax states (keyValueHeads, ranges) of `group` rows, `partialBytes` apart. Of sparse-parts: what parts come to. */
  partials: number;
  /** Of samples: see `sampling.ts`. */
  plan: number;
  /** Of sparse-blocks: (tasks, BLOCK_SUMS), see `shares.ts`. */
  sums: number;
}

export interface Job extends ExchangeAddresses {
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
  grain: number;
  /** sparse-parts: groups that are not split, the first ones. */
  whole: number;
  /** Norms of each key-value head: bounds on those of keys and of values, and what is typical of values. */
  norms: number[];
  /** sparse-blocks: what part of the budget each key-value head gets, 1 where all get the same. Of others: none. */
  shares: readonly number[];
  segments: Segment[];
  /** Sizes of the memories: of the exchange, then of each region. */
  memoryBytes: number[];
}

const FIELDS = [
  'number',
  'layer',
  'position',
  'count',
  'policy',
  'grain',
  'whole',
  'queries',
  'outputs',
  'results',
  'partials',
  'plan',
  'sums',
] as const;

/** Where the fields begin: behind the kind. */
const FIRST_FIELD = 1;

/** Most numbers that a job takes. */
export const jobNumbers = (keyValueHeads: number, regions: number): number =>
  FIRST_FIELD + FIELDS.length + 1 + 3 * keyValueHeads + 1 + keyValueHeads + 1 + 4 * (regions + 1) + 1 + 1 + regions;

/** Number of the job that was written last. */
export const jobNumber = (source: Float64Array): number => source[FIRST_FIELD] as number;

/** Written and read by index: every layer of every token has a job. */
export function writeJob(target: Float64Array, job: Job): void {
  const { norms, shares, segments, memoryBytes } = job;
  let at = 0;
  target[at++] = JOB_KINDS.indexOf(job.kind);
  for (const field of FIELDS) target[at++] = job[field];
  target[at++] = norms.length;
  for (const norm of norms) target[at++] = norm;
  target[at++] = shares.length;
  for (const share of shares) target[at++] = share;
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
  const fields = {} as Record<(typeof FIELDS)[number], number>;
  for (const field of FIELDS) fields[field] = next();
  const norms = listOf(next(), next);
  const shares = listOf(next(), next);
  const segments = listOf(next(), () => ({ ...{ region: next(), from: next(), to: next() }, open: next() === 1 }));
  const memoryBytes = listOf(next(), next);
  return { kind, ...fields, norms, shares, segments, memoryBytes };
}

function listOf<T>(length: number, next: () => T): T[] {
  const list: T[] = [];
  for (let i = 0; i < length; i++) list.push(next());
  return list;
}

/** Tasks of a job for a cache of so many key-value heads. */
export function taskCount(job: Job, keyValueHeads: number): number {
  switch (job.kind) {
    case 'dense-blocks':
    case 'sparse-blocks':
      return keyValueHeads * Math.ceil(job.count / job.grain);
    case 'dense-ranges':
      return keyValueHeads * Math.ceil((job.position + 1) / job.grain);
    case 'sparse-parts':
      return job.whole + (keyValueHeads - job.whole) * job.grain;
    case 'sparse-groups':
    case 'samples':
      return Math.ceil((job.count * keyValueHeads) / job.grain);
  }
}
