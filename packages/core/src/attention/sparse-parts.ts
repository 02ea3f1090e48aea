/**
 * One position's attention with some of its groups split over threads: where the key-value heads do not share out evenly
 * over the threads, the last of them are done in parts, so that no thread has nothing to do.
 */
import type { HeadQuery } from '../cache/head-query.ts';
import type { Segment } from '../cache/slabs.ts';
import type { SparsePolicy, SplitStep } from '../policies/policy.ts';
import { keysOfGroup } from '../selectors/selector.ts';
import type { Job } from './job.ts';
import { attendGroup, noted, noteGroup, queryOf } from './sparse.ts';
import { isGuarded } from './step-costs.ts';
import type { ThreadContext } from './thread.ts';

/** Keys that are worth a part of their own. */
const SMALLEST_PART = 1024;
/** What every part of a step does again, and what it costs to put them together, as a share of a step. */
const PART_COSTS = 0.15;

/** A sample of more than this share of the keys is not split. */
const LARGEST_SHARE = 0.5;

/** How the groups of a position are shared out. */
export interface Split {
  /** Groups that are done whole: the first ones. */
  whole: number;
  /** Parts of each of the others. */
  parts: number;
}

/** The split of `groups` steps over n keys that ends first; undefined where splitting none does. */
export function splitOf(groups: number, threads: number, n: number): Split | undefined {
  const whole = groups - (groups % threads);
  const others = groups - whole;
  const timeOf = (parts: number) => Math.ceil((others * parts) / threads) * (1 / parts + (parts > 1 ? PART_COSTS : 0));
  let best = 1;
  for (let parts = 2; parts <= threads && parts * SMALLEST_PART <= n; parts++) {
    if (timeOf(parts) < timeOf(best)) best = parts;
  }
  return others === 0 || best === 1 ? undefined : { whole, parts: best };
}

/**
 * How a step of one layer over n keys is cut, with the bytes of what the parts come to. Undefined where no group is to be
 * split, or cannot be: where a policy has no parts, keys lie in several regions or are kept by codes alone, or a group reads
 * most of its keys anyway.
 */
export function cutGroups(
  thread: ThreadContext,
  policy: SparsePolicy,
  { layer, n, threads }: { layer: number; n: number; threads: number },
  segments: readonly Segment[],
): (Pick<Job, 'kind' | 'grain' | 'whole'> & { partialBytes: number }) | undefined {
  const { shape, group, costs, exchange } = thread;
  const { budget, certifier, selector, split: parts } = policy;
  if (parts === undefined || certifier !== undefined || budget.tailMass !== undefined) return undefined;
  if (segments.length > 1 || shape.precision === 'int8' || exchange.kernels.finishSieve === undefined) return undefined;
  const split = splitOf(shape.keyValueHeads, threads, n);
  if (split === undefined) return undefined;
  for (let head = split.whole; head < shape.keyValueHeads; head++) {
    const context = { n, layer, head: head * group, rows: group };
    const sample = selector.sampleSize?.(keysOfGroup(context, budget), n) ?? n;
    if (sample > LARGEST_SHARE * n || (costs !== undefined && isGuarded(context, policy, costs))) return undefined;
  }
  const partialBytes = (shape.keyValueHeads - split.whole) * split.parts * parts.bytes(group, shape.headDim);
  return { kind: 'sparse-parts', grain: split.parts, whole: split.whole, partialBytes };
}

/** A whole group, or a part of one: the first tasks are the whole ones. */
export function sparsePartsTask(thread: ThreadContext, job: Job, task: number): void {
  const policy = thread.policies[job.policy] as SparsePolicy;
  if (task < job.whole) {
    attendGroup(thread, job, policy, 0, task, task * thread.group, thread.group);
    return;
  }
  const { attend } = policy.split as SplitStep;
  const [number, part] = [Math.floor((task - job.whole) / job.grain), (task - job.whole) % job.grain];
  const query = groupQuery(thread, job, job.whole + number);
  const address = partAddress(thread, job, policy, number) + part * bytesOf(thread, policy);
  attend(query, policy.budget, { part, parts: job.grain }, thread.exchange.views, address);
}

/** Puts the groups together that were done in parts. Done by the owner of the job. */
export function mergeParts(thread: ThreadContext, job: Job): void {
  const policy = thread.policies[job.policy] as SparsePolicy;
  const { merge } = policy.split as SplitStep;
  const { kernels, views } = thread.exchange;
  for (let head = job.whole; head < thread.shape.keyValueHeads; head++) {
    const query = groupQuery(thread, job, head);
    const address = partAddress(thread, job, policy, head - job.whole);
    noteGroup(thread, job, head * thread.group, noted(query, merge(query, job.grain, kernels, views, address)));
  }
}

function groupQuery(thread: ThreadContext, job: Job, keyValueHead: number): HeadQuery {
  return queryOf(thread, job, 0, keyValueHead, keyValueHead * thread.group, thread.group, job.position + 1);
}

const bytesOf = ({ group, shape }: ThreadContext, { split }: SparsePolicy): number =>
  (split as SplitStep).bytes(group, shape.headDim);

/** Where the parts of a group lie, number `number` of those that are split. */
const partAddress = (thread: ThreadContext, job: Job, policy: SparsePolicy, number: number): number =>
  job.partials + number * job.grain * bytesOf(thread, policy);
