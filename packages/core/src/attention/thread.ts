/**
 * What one thread needs to do attention: the cache's regions as it sees them, its own buffers in each, and the
 * policies. The owner of the cache describes it in a message that can be posted; every thread opens it for itself.
 */
import { type HeadQuery, type HeadSegment, placeQueries, type ThreadRegion } from '../cache/head-query.ts';
import { pagesOfHead } from '../cache/kv-cache.ts';
import type { CacheShape } from '../cache/shape.ts';
import type { Segment } from '../cache/slabs.ts';
import type { Workspace } from '../cache/workspace.ts';
import { createKernels, type KernelsName } from '../kernels/index.ts';
import type { Kernels, Pages } from '../kernels/kernels.ts';
import { catchUp, type Views, viewsOf } from '../kernels/views.ts';
import { createPolicy, type Policy, type PolicySpec } from '../policies/policy.ts';
import type { ControlBuffer } from '../threads/control.ts';
import type { Job } from './job.ts';
import type { StepCosts } from './step-costs.ts';

/** A thread's part of a cache and of the work, as a message. */
export interface ThreadSetup {
  /** Number of this configuration: a thread with an older one takes no tasks. */
  configuration: number;
  control: ControlBuffer;
  shape: CacheShape;
  /** Query heads in a layer. */
  heads: number;
  kernels: KernelsName;
  exchange: WebAssembly.Memory;
  regions: { memory: WebAssembly.Memory; table: number; openTable: number; workspace: Workspace }[];
  policies: PolicySpec[];
  /** What steps cost on this machine, where the guard shall choose. */
  costs?: StepCosts | undefined;
}

/** A memory and what works on it. */
interface Opened {
  readonly memory: WebAssembly.Memory;
  readonly views: () => Views;
  readonly kernels: Kernels;
}

const openMemory = (memory: WebAssembly.Memory, kernels: KernelsName): Opened => ({
  memory,
  views: viewsOf(memory),
  kernels: createKernels(kernels, memory),
});

/** The same, opened. */
export interface ThreadContext {
  readonly shape: CacheShape;
  readonly heads: number;
  /** Query heads that share a key-value head. */
  readonly group: number;
  /** Where the queries of a job come from and its results go. */
  readonly exchange: Opened;
  readonly regions: readonly ThreadRegion[];
  /** Of each region, where the pages of every head lie, once that was asked for: (layers, keyValueHeads, closed or open). */
  readonly pages: readonly Pages[][];
  readonly policies: readonly Policy[];
  readonly costs?: StepCosts | undefined;
}

/** Opens a setup; regions that `before` had open already stay as they are. */
export function openThread(setup: ThreadSetup, before?: ThreadContext): ThreadContext {
  const { shape, heads, kernels, exchange } = setup;
  return {
    shape,
    heads,
    group: heads / shape.keyValueHeads,
    exchange: before?.exchange ?? openMemory(exchange, kernels),
    regions: setup.regions.map(
      ({ memory, ...rest }, i) => before?.regions[i] ?? { ...openMemory(memory, kernels), ...rest },
    ),
    pages: setup.regions.map((_, i) => before?.pages[i] ?? []),
    policies: setup.policies.map((spec, i) => before?.policies[i] ?? createPolicy(spec)),
    costs: setup.costs,
  };
}

/** Brings the memories to the sizes that they had when the job was written. */
export function catchUpWith({ memoryBytes }: Job, { exchange, regions }: ThreadContext): void {
  for (const [i, { memory }] of [exchange, ...regions].entries()) catchUp(memory, memoryBytes[i] as number);
}

/** Where the keys at positions [from, to) of a head lie, given the segments of the whole cache. */
export function headSegments(
  thread: ThreadContext,
  segments: readonly Segment[],
  layer: number,
  keyValueHead: number,
  from: number,
  to: number,
): HeadSegment[] {
  const found: HeadSegment[] = [];
  for (const segment of segments) {
    const start = Math.max(segment.from, from);
    const end = Math.min(segment.to, to);
    if (start >= end) continue;
    const region = thread.regions[segment.region] as ThreadRegion;
    const pages = pagesOf(thread, segment, layer, keyValueHead);
    const earlier = found.findLast((other) => other.region === region);
    const before = earlier === undefined ? 0 : earlier.before + earlier.to - earlier.from;
    found.push({ region, pages, from: start, to: end, before });
  }
  return found;
}

function pagesOf(
  { shape, regions, pages }: ThreadContext,
  { region, open }: Segment,
  layer: number,
  head: number,
): Pages {
  const known = pages[region] as Pages[];
  const at = (layer * shape.keyValueHeads + head) * 2 + (open ? 1 : 0);
  known[at] ??= pagesOfHead(shape, layer, head, regions[region] as ThreadRegion, open);
  return known[at];
}

/** The query heads from `head` on (rows, d), of a key-value head, placed in the workspaces, over the first n keys. */
export function placeGroup(
  thread: ThreadContext,
  { layer, segments, norms }: Pick<Job, 'layer' | 'segments' | 'norms'>,
  keyValueHead: number,
  head: number,
  n: number,
  queries: Float32Array,
): HeadQuery {
  const { shape, regions } = thread;
  const [keyNorm, valueNorm, typicalValueNorm] = norms.slice(3 * keyValueHead) as [number, number, number];
  return {
    shape,
    layer,
    head,
    rows: queries.length / shape.headDim,
    n,
    segments: headSegments(thread, segments, layer, keyValueHead, 0, n),
    norms: placeQueries(regions, queries, shape.headDim, 0),
    keyNorm,
    valueNorm,
    typicalValueNorm,
  };
}
