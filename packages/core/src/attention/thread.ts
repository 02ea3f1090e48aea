/**
 * What one thread needs to do attention: the cache's regions as it sees them, its own buffers in each, and the
 * policies. The owner of the cache describes them in a message that can be posted, and every thread opens it for itself.
 */
import { OWNER_PARAMETERS } from '../cache/arena.ts';
import { headPages } from '../cache/head-pages.ts';
import type { Segment } from '../cache/page-list.ts';
import type { CacheShape } from '../cache/shape.ts';
import { type GroupWork, type HeadSegment, loadQueries, type ThreadRegion } from '../group/group-work.ts';
import type { Workspace } from '../group/workspace.ts';
import { createKernels, type KernelsName } from '../kernels/index.ts';
import type { Kernels, Pages } from '../kernels/kernels.ts';
import { catchUp, type Views, viewsOf } from '../kernels/views.ts';
import { adoptKernels } from '../kernels/wasm/wasm-kernels.ts';
import { openPolicy, type ParsedPolicy, type Policy, type SparseParts } from '../policies/policy.ts';
import { maxCertifiedReadShare, type StepCosts } from '../policies/step-costs.ts';
import type { JobQueries } from './job.ts';
import type { PlannedPolicy } from './planner.ts';
import type { ScoreRule } from './score-rule.ts';
import { type PhaseTimes, timeKernels } from './trace.ts';

/** A thread's part of a cache and of the work, as a message. */
export interface ThreadSetup {
  /** Where the numbers of each batch of jobs stand: see `writeBatch`. */
  batchNumbers: ArrayBufferLike;
  shape: CacheShape;
  /** Query heads in a layer. */
  heads: number;
  kernels: KernelsName;
  /** The kernels in WebAssembly, for threads other than the one that has compiled them. */
  compiledKernels?: WebAssembly.Module | undefined;
  jobMemory: WebAssembly.Memory;
  regions: { memory: WebAssembly.Memory; bases: number; workspace: Workspace }[];
  policies: readonly ParsedPolicy[];
  /** URLs of the modules that the policies may come from: see `registerPolicies`. */
  policyModules: readonly string[];
  /** What steps cost on this machine, where full attention is to be used when it is faster. */
  costs?: StepCosts | undefined;
  rule: ScoreRule;
}

/** A memory and what works on it. */
interface MappedMemory {
  readonly memory: WebAssembly.Memory;
  readonly views: () => Views;
  readonly kernels: Kernels;
}

/** `ThreadSetup` with its memories mapped and its policies opened. */
export interface ThreadContext {
  readonly shape: CacheShape;
  readonly heads: number;
  /** Query heads that share a key-value head. */
  readonly groupSize: number;
  /** Where the queries of a job come from and its results go, where several threads work. */
  readonly jobMemory: MappedMemory;
  readonly regions: readonly ThreadRegion[];
  /**
   * For each region, by the address of a page table, the pages of every head, once they were needed: (layers,
   * keyValueHeads, full or open). An address is that of tables of one size always.
   */
  readonly pages: readonly Map<number, Pages[]>[];
  readonly policies: readonly PlannedPolicy[];
  readonly rule: ScoreRule;
}

/** What the owner of a job adds to a setup, which cannot be posted. */
export interface OwnerOptions {
  /** The policies of the setup, opened. */
  policies: readonly Policy[];
  /** Where the times of phases are added up. Default: nothing is timed. */
  times?: PhaseTimes | undefined;
}

/** Opens a setup; what `previous` had open stays as it is. */
export function openThread(setup: ThreadSetup, previous?: ThreadContext, owner?: OwnerOptions): ThreadContext {
  const { shape, heads, kernels, compiledKernels, jobMemory, costs, rule } = setup;
  if (compiledKernels !== undefined) adoptKernels(compiledKernels);
  const { policies, times } = owner ?? { policies: undefined, times: undefined };
  const mapMemory = (memory: WebAssembly.Memory, parameters: number): MappedMemory => {
    const plain = createKernels(kernels, memory, parameters);
    return { memory, views: viewsOf(memory), kernels: times === undefined ? plain : timeKernels(plain, times) };
  };
  const planPolicy = ({ sparse, fallbackFor }: Policy): PlannedPolicy => ({
    // A step in one call of the kernels has no phases that could be timed.
    sparse: sparse && (times === undefined ? sparse : withoutStep(sparse)),
    fallback: costs && fallbackFor(costs),
    maxReadShare: costs && maxCertifiedReadShare(costs, heads),
  });
  return {
    shape,
    heads,
    rule,
    groupSize: heads / shape.keyValueHeads,
    // Only the owner of a job merges its parts there.
    jobMemory: previous?.jobMemory ?? mapMemory(jobMemory, OWNER_PARAMETERS),
    regions: setup.regions.map(
      ({ memory, bases, workspace }, i) =>
        previous?.regions[i] ?? { ...mapMemory(memory, workspace.parameters), bases, workspace },
    ),
    pages: setup.regions.map((_, i) => previous?.pages[i] ?? new Map()),
    policies: setup.policies.map(
      (parsed, i) => previous?.policies[i] ?? planPolicy(policies?.[i] ?? openPolicy(parsed)),
    ),
  };
}

/** The sinks of some query heads of a layer, where there are any. */
export const sinksOf = (
  { rule }: Pick<ThreadContext, 'rule'>,
  layer: number,
  head: number,
  count: number,
): readonly number[] | undefined => rule.sinks?.[layer]?.slice(head, head + count);

function withoutStep({ step: _, ...parts }: SparseParts): SparseParts {
  return parts;
}

/** The parts of a job's policy, which selects keys. */
export const sparseParts = ({ policies }: ThreadContext, { policy }: Pick<JobQueries, 'policy'>): SparseParts =>
  (policies[policy] as PlannedPolicy).sparse as SparseParts;

/** Brings the memories to the sizes that they had when a job was written. */
export function growMemories(memoryBytes: readonly number[], { jobMemory, regions }: ThreadContext): void {
  for (const [i, { memory }] of [jobMemory, ...regions].entries()) catchUp(memory, memoryBytes[i] as number);
}

/** The segments of the keys at positions [from, to) of a head, from those of the whole cache. */
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

function pagesOf({ shape, regions, pages }: ThreadContext, segment: Segment, layer: number, head: number): Pages {
  const tables = pages[segment.region] as Map<number, Pages[]>;
  const headPagesCache = tables.get(segment.table) ?? [];
  if (headPagesCache.length === 0) tables.set(segment.table, headPagesCache);
  const at = (layer * shape.keyValueHeads + head) * 2 + (segment.open ? 1 : 0);
  headPagesCache[at] ??= headPages(shape, layer, head, segment, (regions[segment.region] as ThreadRegion).bases);
  return headPagesCache[at];
}

/**
 * The work of a GQA group, or of some of its heads: queries (rows, d) of the heads from `head` on, which go into the
 * workspaces, over the first n keys.
 */
export function loadGroup(
  thread: ThreadContext,
  { layer, segments, norms }: Pick<JobQueries, 'layer' | 'segments' | 'norms'>,
  keyValueHead: number,
  head: number,
  n: number,
  queries: Float32Array,
): GroupWork {
  const { shape, regions } = thread;
  return {
    shape,
    layer,
    head,
    rows: queries.length / shape.headDim,
    n,
    segments: headSegments(thread, segments, layer, keyValueHead, 0, n),
    queryNorms: loadQueries(regions, queries, shape.headDim, 0),
    sinks: sinksOf(thread, layer, head, queries.length / shape.headDim),
    maxKeyNorm: norms[3 * keyValueHead] as number,
    maxValueNorm: norms[3 * keyValueHead + 1] as number,
    rmsValueNorm: norms[3 * keyValueHead + 2] as number,
  };
}
