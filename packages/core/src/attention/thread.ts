/**
 * What one thread needs to do attention: the cache's regions as it sees them, its own buffers in each, and the
 * policies. The owner of the cache describes it in a message that can be posted; every thread opens it for itself.
 */

import { OWNER_PARAMETERS } from '../cache/arena.ts';
import { headPages } from '../cache/kv-cache.ts';
import type { CacheShape } from '../cache/shape.ts';
import type { Segment } from '../cache/slabs.ts';
import { type GroupWork, type HeadSegment, loadQueries, type ThreadRegion } from '../group/group-work.ts';
import type { Workspace } from '../group/workspace.ts';
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
  jobMemory: WebAssembly.Memory;
  regions: { memory: WebAssembly.Memory; table: number; openTable: number; workspace: Workspace }[];
  policies: PolicySpec[];
  /** URLs of the modules that the policies may come from: see `registerPolicies`. */
  policyModules: readonly string[];
  /** What steps cost on this machine, where the guard shall choose. */
  costs?: StepCosts | undefined;
}

/** A memory and what works on it. */
interface MappedMemory {
  readonly memory: WebAssembly.Memory;
  readonly views: () => Views;
  readonly kernels: Kernels;
}

/** Maps a memory whose bytes from `parameters` on are the kernels' own. */
const mapMemory = (memory: WebAssembly.Memory, kernels: KernelsName, parameters: number): MappedMemory => ({
  memory,
  views: viewsOf(memory),
  kernels: createKernels(kernels, memory, parameters),
});

/** The same, opened. */
export interface ThreadContext {
  readonly shape: CacheShape;
  readonly heads: number;
  /** Query heads that share a key-value head. */
  readonly groupSize: number;
  /** Where the queries of a job come from and its results go. */
  readonly jobMemory: MappedMemory;
  readonly regions: readonly ThreadRegion[];
  /** Of each region, where the pages of every head lie, once that was asked for: (layers, keyValueHeads, closed or open). */
  readonly pages: readonly Pages[][];
  readonly policies: readonly Policy[];
  readonly costs?: StepCosts | undefined;
}

/** Opens a setup; regions that `before` had open already stay as they are. */
export function openThread(setup: ThreadSetup, previous?: ThreadContext): ThreadContext {
  const { shape, heads, kernels, jobMemory } = setup;
  return {
    shape,
    heads,
    groupSize: heads / shape.keyValueHeads,
    // Only the owner of a job merges its parts there.
    jobMemory: previous?.jobMemory ?? mapMemory(jobMemory, kernels, OWNER_PARAMETERS),
    regions: setup.regions.map(
      ({ memory, ...rest }, i) =>
        previous?.regions[i] ?? { ...mapMemory(memory, kernels, rest.workspace.parameters), ...rest },
    ),
    pages: setup.regions.map((_, i) => previous?.pages[i] ?? []),
    policies: setup.policies.map((spec, i) => previous?.policies[i] ?? createPolicy(spec)),
    costs: setup.costs,
  };
}

/** Brings the memories to the sizes that they had when the job was written. */
export function growMemories({ memoryBytes }: Job, { jobMemory, regions }: ThreadContext): void {
  for (const [i, { memory }] of [jobMemory, ...regions].entries()) catchUp(memory, memoryBytes[i] as number);
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
  const result: HeadSegment[] = [];
  for (const segment of segments) {
    const start = Math.max(segment.from, from);
    const end = Math.min(segment.to, to);
    if (start >= end) continue;
    const region = thread.regions[segment.region] as ThreadRegion;
    const pages = pagesOf(thread, segment, layer, keyValueHead);
    const earlier = result.findLast((other) => other.region === region);
    const earlierKeys = earlier === undefined ? 0 : earlier.earlierKeys + earlier.to - earlier.from;
    result.push({ region, pages, from: start, to: end, earlierKeys });
  }
  return result;
}

function pagesOf(
  { shape, regions, pages }: ThreadContext,
  { region, open }: Segment,
  layer: number,
  head: number,
): Pages {
  const headPagesCache = pages[region] as Pages[];
  const at = (layer * shape.keyValueHeads + head) * 2 + (open ? 1 : 0);
  headPagesCache[at] ??= headPages(shape, layer, head, regions[region] as ThreadRegion, open);
  return headPagesCache[at];
}

/** The query heads from `head` on (rows, d), of a key-value head, placed in the workspaces, over the first n keys. */
export function loadGroup(
  thread: ThreadContext,
  { layer, segments, norms }: Pick<Job, 'layer' | 'segments' | 'norms'>,
  keyValueHead: number,
  head: number,
  n: number,
  queries: Float32Array,
): GroupWork {
  const { shape, regions } = thread;
  const [maxKeyNorm, maxValueNorm, rmsValueNorm] = norms.slice(3 * keyValueHead) as [number, number, number];
  return {
    shape,
    layer,
    head,
    rows: queries.length / shape.headDim,
    n,
    segments: headSegments(thread, segments, layer, keyValueHead, 0, n),
    queryNorms: loadQueries(regions, queries, shape.headDim, 0),
    maxKeyNorm,
    maxValueNorm,
    rmsValueNorm,
  };
}
