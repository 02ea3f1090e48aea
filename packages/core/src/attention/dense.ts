/** Dense attention, as tasks that any thread can take. */
import { attendAll, placeQueries, type ThreadRegion } from '../cache/head-query.ts';
import { stateBytes } from '../kernels/kernels.ts';
import type { Job } from './job.ts';
import { headSegments, type ThreadContext } from './thread.ts';

/** Consecutive queries of a job, and the key-value head that they attend to. */
export interface Block {
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
export function blockOf({ group, shape }: ThreadContext, job: Job, task: number): Block {
  const blocks = Math.ceil(job.count / job.grain);
  const first = (blocks - 1 - Math.floor(task / shape.keyValueHeads)) * job.grain;
  const queries = Math.min(job.grain, job.count - first);
  const limit = job.position + first + 1;
  const keyValueHead = task % shape.keyValueHeads;
  return { first, queries, rows: queries * group, keyValueHead, limit, n: limit + queries - 1 };
}

/** One key-value head and one block of queries, from the first key to the last that they may see. */
export function denseBlockTask(thread: ThreadContext, job: Job, task: number): void {
  attendBlock(thread, job, blockOf(thread, job, task));
}

/** Attends densely with a block, and returns its outputs. */
export function attendBlock(thread: ThreadContext, job: Job, block: Block): void {
  const { rows, limit, n, keyValueHead } = block;
  placeBlock(thread, job, block);
  const segments = headSegments(thread, job.segments, job.layer, keyValueHead, 0, n);
  finishBlock(thread, job, block, attendAll(segments, { rows, group: thread.group, limit }, thread.shape.headDim));
}

/** Copies the queries of a block into the workspaces, scaled. Returns the largest norm of the rows. */
export function placeBlock({ shape, group, heads, exchange, regions }: ThreadContext, job: Job, block: Block): number {
  const { headDim } = shape;
  const width = group * headDim;
  const [home, ...others] = regions as [ThreadRegion, ...ThreadRegion[]];
  const source = exchange.views().f32;
  const target = home.views().f32;
  const start = home.workspace.queries / 4;
  for (let i = 0; i < block.queries; i++) {
    const at = job.queries / 4 + ((block.first + i) * heads + block.keyValueHead * group) * headDim;
    target.set(source.subarray(at, at + width), start + i * width);
  }
  const largest = home.kernels.scaleQueries(home.workspace.queries, block.rows, headDim);
  const placed = target.subarray(start, start + block.queries * width);
  for (const { views, workspace } of others) views().f32.set(placed, workspace.queries / 4);
  return largest;
}

/** Finishes the state of a block in `region`, and writes its outputs to where the job wants them. */
function finishBlock(thread: ThreadContext, job: Job, block: Block, region: ThreadRegion): void {
  const { headDim } = thread.shape;
  // The queries are done with: their place takes the outputs, on the way to the rows of the other heads.
  const { state, queries: finished } = region.workspace;
  region.kernels.finishState(state, block.rows, headDim, finished, headDim * 4);
  returnBlock(thread, job, block, region);
}

/** Writes the outputs of a block, which stand in the place of its queries in `region`, to where the job wants them. */
export function returnBlock(
  { shape, group, heads, exchange }: ThreadContext,
  job: Job,
  { first, queries, keyValueHead }: Block,
  region: ThreadRegion,
): void {
  const { headDim } = shape;
  const width = group * headDim;
  const finished = region.workspace.queries;
  const source = region.views().f32;
  const target = exchange.views().f32;
  for (let i = 0; i < queries; i++) {
    const from = finished / 4 + i * width;
    const to = job.outputs / 4 + ((first + i) * heads + keyValueHead * group) * headDim;
    target.set(source.subarray(from, from + width), to);
  }
}

/** One query, one key-value head, one range of keys: a partial state, which `mergeRanges` adds up. */
export function denseRangeTask(thread: ThreadContext, job: Job, task: number): void {
  const { shape, group, exchange } = thread;
  const { keyValueHeads, headDim } = shape;
  const keyValueHead = task % keyValueHeads;
  const range = Math.floor(task / keyValueHeads);
  const n = job.position + 1;
  const from = range * job.grain;
  const to = Math.min(n, from + job.grain);

  const at = job.queries / 4 + keyValueHead * group * headDim;
  placeQueries(thread.regions, exchange.views().f32.subarray(at, at + group * headDim), headDim, 0);
  const segments = headSegments(thread, job.segments, job.layer, keyValueHead, from, to);
  const region = attendAll(segments, { rows: group, group, limit: n }, headDim);

  const size = stateBytes(group, headDim);
  const source = region.workspace.state / 4;
  const target = partialAddress(job, n, keyValueHead, range, size) / 4;
  exchange.views().f32.set(region.views().f32.subarray(source, source + size / 4), target);
}

/** Adds up the ranges of every head and writes the outputs. Done by the owner of the job. */
export function mergeRanges(thread: ThreadContext, job: Job): void {
  const { shape, group } = thread;
  const { keyValueHeads, headDim } = shape;
  const { kernels } = thread.exchange;
  const n = job.position + 1;
  const size = stateBytes(group, headDim);
  for (let head = 0; head < keyValueHeads; head++) {
    const state = partialAddress(job, n, head, 0, size);
    for (let range = 1; range * job.grain < n; range++) {
      kernels.mergeState(state, partialAddress(job, n, head, range, size), group, headDim);
    }
    kernels.finishState(state, group, headDim, job.outputs + head * group * headDim * 4, headDim * 4);
  }
}

function partialAddress({ partials, grain }: Job, n: number, head: number, range: number, size: number): number {
  return partials + (head * Math.ceil(n / grain) + range) * size;
}
