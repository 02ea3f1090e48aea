/**
 * What one thread needs to do attention: the cache's regions as it sees them, its own buffers in each, and the
 * policies. The owner of the cache describes it in a message that can be posted; every thread opens it for itself.
 */
import type { HeadSegment, ThreadRegion } from '../cache/head-query.ts';
import { pagesOfHead } from '../cache/kv-cache.ts';
import type { CacheShape } from '../cache/shape.ts';
import type { Workspace } from '../cache/workspace.ts';
import { createKernels, type KernelsName } from '../kernels/index.ts';
import { viewsOf } from '../kernels/views.ts';
import { createPolicy, type Policy, type PolicySpec } from '../policies/policy.ts';
import type { ControlBuffer } from '../threads/control.ts';

/** A thread's part of a cache and of the work, as a message. */
export interface ThreadSetup {
  /** Number of this configuration: a thread with an older one takes no tasks. */
  configuration: number;
  control: ControlBuffer;
  shape: CacheShape;
  /** Query heads in a layer. */
  heads: number;
  kernels: KernelsName;
  regions: { memory: WebAssembly.Memory; table: number; workspace: Workspace }[];
  policies: PolicySpec[];
}

/** The same, opened. */
export interface ThreadContext {
  readonly shape: CacheShape;
  readonly heads: number;
  /** Query heads that share a key-value head. */
  readonly group: number;
  readonly regions: readonly ThreadRegion[];
  readonly policies: readonly Policy[];
}

/** Opens a setup; regions that `before` had open already stay as they are. */
export function openThread(setup: ThreadSetup, before?: ThreadContext): ThreadContext {
  const { shape, heads, kernels } = setup;
  return {
    shape,
    heads,
    group: heads / shape.keyValueHeads,
    regions: setup.regions.map(
      ({ memory, table, workspace }, i) =>
        before?.regions[i] ?? { views: viewsOf(memory), kernels: createKernels(kernels, memory), table, workspace },
    ),
    policies: setup.policies.map((spec, i) => before?.policies[i] ?? createPolicy(spec)),
  };
}

/** Where the keys at positions [from, to) of a head lie, given the segments of the whole cache. */
export function headSegments(
  { shape, regions }: ThreadContext,
  segments: readonly { region: number; from: number; to: number }[],
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
    const region = regions[segment.region] as ThreadRegion;
    found.push({ region, pages: pagesOfHead(shape, layer, keyValueHead, region.table), from: start, to: end });
  }
  return found;
}
