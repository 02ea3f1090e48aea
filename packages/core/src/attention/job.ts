/**
 * A job: the attention of one layer for some queries, cut into tasks. Its numbers are what threads are told through
 * their control block; its data lie in the caller's arrays where one thread works, and else in the job buffers, a memory
 * that all threads share.
 */
import type { Segment } from '../cache/page-list.ts';

/** What the tasks of a job are. */
export const JOB_KINDS = [
  /** Full attention of a block of queries. */
  'full-blocks',
  /** Full attention of one query to a range of keys. */
  'full-ranges',
  /** Single positions, by a selector and a tail. */
  'decode-groups',
  /** One position, with some of its GQA groups split over threads. */
  'decode-split',
  /** Blocks of queries that share a sample. */
  'prefill-blocks',
  /** What queries need: see `measure.ts`. */
  'measure',
] as const;
export type JobKind = (typeof JOB_KINDS)[number];

/** How a job is cut into tasks. */
export interface JobPlan {
  readonly kind: JobKind;
  /**
   * `full-blocks` and `prefill-blocks`: queries in a block. `full-ranges`: keys in a range, a multiple of 64.
   * `decode-groups` and `measure`: GQA groups in a task. `decode-split`: parts of a group.
   */
  readonly blockSize: number;
  /** `full-ranges`: the key that the first range begins with, the first of a page. */
  readonly firstKey: number;
  /** `decode-split`: groups that are not split, the first ones. */
  readonly unsplitGroups: number;
  /**
   * 1 for each GQA group, or head where heads select on their own, that gets full attention because it is faster, else 0.
   * Empty where tasks find out by themselves.
   */
  readonly fullUnits: readonly number[];
}

/** What a job is about. */
export interface JobQueries {
  readonly layer: number;
  /** Position of the first query; `measure`: of the last. The cache holds the keys of all queries. */
  readonly position: number;
  /** Queries. */
  readonly count: number;
  /** Index among the policies. */
  readonly policy: number;
  /** 1 where no group reads more keys than its budget for being in doubt, else 0: see `AttendRequest.keepBudget`. */
  readonly keepsBudget: number;
  /** For each key-value head: bounds on the norms of keys and of values, and the root mean square of those of values. */
  readonly norms: readonly number[];
  /** `prefill-blocks`: the factor by which each key-value head multiplies its budget. Else empty. */
  readonly budgetFactors: readonly number[];
  readonly segments: readonly Segment[];
}

/** Where a job reads and writes. */
export interface JobData {
  /** (count, heads, d) */
  readonly queries: Float32Array;
  /** (count, heads, d). `measure` reads the outputs of full attention here. */
  readonly outputs: Float32Array;
  /** (count, heads, ROW_RESULT_NUMBERS), see `row-result.ts`; `measure`: (count, heads, numbers of a record). */
  readonly results: Float32Array;
  /** `prefill-blocks`: (tasks, BLOCK_ERROR_NUMBERS), see `head-budget-allocator.ts`. */
  readonly blockErrors: Float32Array;
  /** `measure`: see `measure.ts`. */
  readonly measurePlan: Float32Array;
  /**
   * Address in the job buffers. `full-ranges`: softmax states (keyValueHeads, ranges) of a group's rows.
   * `decode-split`: the states of all parts.
   */
  readonly partials: number;
}

export interface Job extends JobPlan, JobQueries {
  readonly data: JobData;
}

/** Addresses in the job buffers. */
export type JobAddresses = { -readonly [Name in keyof JobData]: number };

/** A job as it goes through the control block. */
export interface JobMessage extends JobPlan, JobQueries {
  readonly addresses: Readonly<JobAddresses>;
}

/** Jobs that are done at once: threads take the tasks of the first one, then those of the next. */
export interface JobBatch {
  /** Number of the batch: another one for every batch of a control block. */
  readonly number: number;
  readonly jobs: readonly JobMessage[];
  /** Sizes of the memories: of the job buffers, then of each region. */
  readonly memoryBytes: readonly number[];
}

const FIELDS = [
  'layer',
  'position',
  'count',
  'policy',
  'keepsBudget',
  'blockSize',
  'firstKey',
  'unsplitGroups',
] as const;
const ADDRESSES = ['queries', 'outputs', 'results', 'blockErrors', 'measurePlan', 'partials'] as const;

const SEGMENT_NUMBERS = 6;

/** Most jobs of a batch. */
export const MAX_BATCH_JOBS = 16;

/** Maximum of numbers in the message of a batch. Every list is preceded by its length. */
export const maxBatchNumbers = (heads: number, keyValueHeads: number, regions: number, segments: number): number =>
  1 +
  (2 + regions) +
  1 +
  MAX_BATCH_JOBS *
    (1 +
      FIELDS.length +
      ADDRESSES.length +
      (1 + 3 * keyValueHeads) +
      (1 + keyValueHeads) +
      (1 + heads) +
      (1 + SEGMENT_NUMBERS * segments));

/** Number of the batch that was written last. */
export const batchNumber = (source: Float64Array): number => source[0] as number;

/** Written and read by index: every layer of every token has a batch. */
export function writeBatch(target: Float64Array, { number, memoryBytes, jobs }: JobBatch): void {
  let at = 0;
  target[at++] = number;
  target[at++] = memoryBytes.length;
  for (const bytes of memoryBytes) target[at++] = bytes;
  target[at++] = jobs.length;
  for (const job of jobs) at = writeJob(target, at, job);
}

/** Writes a job from number `at` on. Returns where the next one begins. */
function writeJob(target: Float64Array, from: number, job: JobMessage): number {
  let at = from;
  target[at++] = JOB_KINDS.indexOf(job.kind);
  for (const field of FIELDS) target[at++] = job[field];
  for (const name of ADDRESSES) target[at++] = job.addresses[name];
  for (const list of [job.norms, job.budgetFactors, job.fullUnits]) {
    target[at++] = list.length;
    for (const x of list) target[at++] = x;
  }
  target[at++] = job.segments.length;
  for (const { region, table, openTable, from, to, open } of job.segments) {
    target[at++] = region;
    target[at++] = table;
    target[at++] = openTable;
    target[at++] = from;
    target[at++] = to;
    target[at++] = open ? 1 : 0;
  }
  return at;
}

export function readBatch(source: Float64Array): JobBatch {
  let at = 0;
  const next = () => source[at++] as number;
  const number = next();
  const memoryBytes = readList(next);
  const jobs: JobMessage[] = [];
  for (let count = next(); count > 0; count--) jobs.push(readJob(next));
  return { number, memoryBytes, jobs };
}

function readJob(next: () => number): JobMessage {
  const kind = JOB_KINDS[next()] as JobKind;
  const fields = {} as Record<(typeof FIELDS)[number], number>;
  for (const field of FIELDS) fields[field] = next();
  const addresses = {} as JobAddresses;
  for (const name of ADDRESSES) addresses[name] = next();
  const norms = readList(next);
  const budgetFactors = readList(next);
  const fullUnits = readList(next);
  const segments: Segment[] = [];
  for (let count = next(); count > 0; count--) {
    const [region, table, openTable] = [next(), next(), next()];
    segments.push({ region, table, openTable, from: next(), to: next(), open: next() === 1 });
  }
  return { kind, ...fields, addresses, norms, budgetFactors, fullUnits, segments };
}

function readList(next: () => number): number[] {
  const list: number[] = [];
  for (let length = next(); length > 0; length--) list.push(next());
  return list;
}

/** The data of a job in the job buffers. Views reach to the end of the memory: tasks know how much of it is theirs. */
export function openJobData(addresses: Readonly<JobAddresses>, numbers: Float32Array): JobData {
  return {
    queries: numbers.subarray(addresses.queries / 4),
    outputs: numbers.subarray(addresses.outputs / 4),
    results: numbers.subarray(addresses.results / 4),
    blockErrors: numbers.subarray(addresses.blockErrors / 4),
    measurePlan: numbers.subarray(addresses.measurePlan / 4),
    partials: addresses.partials,
  };
}

/** Number of tasks. */
export function taskCount(
  { kind, blockSize, firstKey, unsplitGroups }: JobPlan,
  { position, count }: Pick<JobQueries, 'position' | 'count'>,
  keyValueHeads: number,
): number {
  switch (kind) {
    case 'full-blocks':
    case 'prefill-blocks':
      return keyValueHeads * Math.ceil(count / blockSize);
    case 'full-ranges':
      return keyValueHeads * Math.ceil((position + 1 - firstKey) / blockSize);
    case 'decode-split':
      return unsplitGroups + (keyValueHeads - unsplitGroups) * blockSize;
    case 'decode-groups':
    case 'measure':
      return Math.ceil((count * keyValueHeads) / blockSize);
  }
}
