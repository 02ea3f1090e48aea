/** Full attention: every key that a query may see. A task is a block of queries, or a range of keys of one query. */
import { attendSegments, loadQueries, type ThreadRegion } from '../group/group-work.ts';
import { addSinks } from '../group/sinks.ts';
import { stateBytes } from '../kernels/kernels.ts';
import { PAGE_KEYS } from '../kernels/layout.ts';
import type { Job } from './job.ts';
import { headSegments, sinksOf, type ThreadContext } from './thread.ts';

/** Consecutive queries of a job, and the key-value head that they attend to. */
export interface QueryBlock {
  /** Index of the first query in the job. */
  first: number;
  queries: number;
  /** Their rows: (queries, group). */
  rows: number;
  keyValueHead: number;
  /** Keys that the first query sees. */
  limit: number;
  /** Keys that the last one sees. */
  n: number;
}

/** The block of a task. The last blocks have the most keys: they go first, so that threads end together. */
export function queryBlockOf({ groupSize, shape }: ThreadContext, job: Job, task: number): QueryBlock {
  const blocks = Math.ceil(job.count / job.blockSize);
  const first = (blocks - 1 - Math.floor(task / shape.keyValueHeads)) * job.blockSize;
  const queries = Math.min(job.blockSize, job.count - first);
  const limit = job.position + first + 1;
  const keyValueHead = task % shape.keyValueHeads;
  return { first, queries, rows: queries * groupSize, keyValueHead, limit, n: limit + queries - 1 };
}

/** One key-value head and one block of queries, from the first key to the last that they may see. */
export function fullBlockTask(thread: ThreadContext, job: Job, task: number): void {
  attendFullBlock(thread, job, queryBlockOf(thread, job, task));
}

/** Attends with a block to every key, and writes its outputs. */
export function attendFullBlock(thread: ThreadContext, job: Job, block: QueryBlock): void {
  const { rows, limit, n, keyValueHead } = block;
  const { groupSize, shape, rule } = thread;
  const { window, softCap } = rule;
  loadBlock(thread, job, block);
  const firstKey = Math.floor(Math.max(0, limit - (window ?? limit)) / PAGE_KEYS) * PAGE_KEYS;
  const segments = headSegments(thread, job.segments, job.layer, keyValueHead, firstKey, n);
  const region = attendSegments(segments, { rows, group: groupSize, limit, window, softCap }, shape.headDim);
  const sinks = sinksOf(thread, job.layer, keyValueHead * groupSize, groupSize);
  addSinks(region.views(), region.workspace.state, rows, shape.headDim, sinks);
  normalizeBlock(thread, job, block, region);
}

/** Copies the queries of a block into the workspaces, scaled. Returns the largest norm of the rows. */
export function loadBlock(
  { shape, groupSize, heads, regions }: ThreadContext,
  { data }: Job,
  block: QueryBlock,
): number {
  const { headDim } = shape;
  const width = groupSize * headDim;
  const [primary, ...others] = regions as [ThreadRegion, ...ThreadRegion[]];
  const target = primary.views().f32;
  const start = primary.workspace.queries / 4;
  for (let i = 0; i < block.queries; i++) {
    const at = ((block.first + i) * heads + block.keyValueHead * groupSize) * headDim;
    target.set(data.queries.subarray(at, at + width), start + i * width);
  }
  const maxNorm = primary.kernels.scaleQueries(primary.workspace.queries, block.rows, headDim);
  const scaled = target.subarray(start, start + block.queries * width);
  for (const { views, workspace } of others) views().f32.set(scaled, workspace.queries / 4);
  return maxNorm;
}

/** Normalizes the state of a block in `region`, and writes its outputs. */
function normalizeBlock(thread: ThreadContext, job: Job, block: QueryBlock, region: ThreadRegion): void {
  const { headDim } = thread.shape;
  // The queries are done with: their place takes the outputs, on the way to the rows of the other heads.
  const { state, queries: outputs } = region.workspace;
  region.kernels.normalize(state, block.rows, headDim, outputs, headDim * 4);
  storeBlockOutputs(thread, job, block, region);
}

/** Writes the outputs of a block, which are in the place of its queries in `region`, to those of the job. */
export function storeBlockOutputs(
  { shape, groupSize, heads }: ThreadContext,
  { data }: Job,
  { first, queries, keyValueHead }: QueryBlock,
  region: ThreadRegion,
): void {
  const { headDim } = shape;
  const width = groupSize * headDim;
  const outputs = region.workspace.queries;
  const source = region.views().f32;
  for (let i = 0; i < queries; i++) {
    const from = outputs / 4 + i * width;
    data.outputs.set(source.subarray(from, from + width), ((first + i) * heads + keyValueHead * groupSize) * headDim);
  }
}

/** One query, one key-value head, one range of keys: leaves a partial state, which `mergeRanges` merges. */
export function fullRangeTask(thread: ThreadContext, job: Job, task: number): void {
  const { shape, groupSize, jobMemory, rule } = thread;
  const { keyValueHeads, headDim } = shape;
  const keyValueHead = task % keyValueHeads;
  const range = Math.floor(task / keyValueHeads);
  const n = job.position + 1;
  const from = job.firstKey + range * job.blockSize;
  const to = Math.min(n, from + job.blockSize);

  const at = keyValueHead * groupSize * headDim;
  loadQueries(thread.regions, job.data.queries.subarray(at, at + groupSize * headDim), headDim, 0);
  const segments = headSegments(thread, job.segments, job.layer, keyValueHead, from, to);
  const rows = { rows: groupSize, group: groupSize, limit: n, ...rule };
  const region = attendSegments(segments, rows, headDim);

  const size = stateBytes(groupSize, headDim);
  const source = region.workspace.state / 4;
  const target = partialAddress(job, keyValueHead, range, size) / 4;
  jobMemory.views().f32.set(region.views().f32.subarray(source, source + size / 4), target);
}

/** Merges the ranges of every head and writes the outputs to an address in the job buffers. Done by the owner of the job. */
export function mergeRanges(thread: ThreadContext, job: Job, outputs: number): void {
  const { shape, groupSize } = thread;
  const { keyValueHeads, headDim } = shape;
  const { kernels, views } = thread.jobMemory;
  const size = stateBytes(groupSize, headDim);
  for (let head = 0; head < keyValueHeads; head++) {
    const state = partialAddress(job, head, 0, size);
    for (let range = 1; range < rangesOf(job); range++) {
      kernels.mergeState(state, partialAddress(job, head, range, size), groupSize, headDim);
    }
    const sinks = sinksOf(thread, job.layer, head * groupSize, groupSize);
    addSinks(views(), state, groupSize, headDim, sinks);
    kernels.normalize(state, groupSize, headDim, outputs + head * groupSize * headDim * 4, headDim * 4);
  }
}

/** Ranges of the keys of one head. */
const rangesOf = ({ position, firstKey, blockSize }: Job): number => Math.ceil((position + 1 - firstKey) / blockSize);

function partialAddress(job: Job, head: number, range: number, size: number): number {
  return job.data.partials + (head * rangesOf(job) + range) * size;
}
