/**
 * One position's attention with some of its groups split over threads: where the key-value heads do not share out evenly
 * over the threads, the last of them are done in parts, so that no thread has nothing to do.
 */

import type { Segment } from '../cache/slabs.ts';
import type { GroupWork } from '../group/group-work.ts';
import type { FusedStep, SplitStep } from '../policies/definition.ts';
import type { SparsePolicy } from '../policies/policy.ts';
import { groupBudget } from '../selectors/selector.ts';
import { MAX_SPLIT_SAMPLE_FRACTION, MIN_PART_KEYS, PART_OVERHEAD } from '../sieve/constants.ts';
import { attendGroup, loadGroupWork, toGroupResult, writeGroupResult } from './decode.ts';
import type { Job } from './job.ts';
import { fullAttentionIsFaster } from './step-costs.ts';
import type { ThreadContext } from './thread.ts';

/** How the groups of a position are shared out. */
export interface GroupSplit {
  /** Groups that are done whole: the first ones. */
  unsplitGroups: number;
  /** Parts of each of the others. */
  parts: number;
}

/** The split of `groups` steps over n keys that ends first; undefined where splitting none does. */
export function planSplit(groups: number, threads: number, n: number): GroupSplit | undefined {
  const unsplitGroups = groups - (groups % threads);
  const splitGroups = groups - unsplitGroups;
  const timeOf = (parts: number) =>
    Math.ceil((splitGroups * parts) / threads) * (1 / parts + (parts > 1 ? PART_OVERHEAD : 0));
  let best = 1;
  for (let parts = 2; parts <= threads && parts * MIN_PART_KEYS <= n; parts++) {
    if (timeOf(parts) < timeOf(best)) best = parts;
  }
  return splitGroups === 0 || best === 1 ? undefined : { unsplitGroups, parts: best };
}

/**
 * How a step of one layer over n keys is cut, with the bytes of what the parts come to. Undefined where no group is to be
 * split, or cannot be: where a policy has no parts, keys lie in several regions or are kept by codes alone, or a group reads
 * most of its keys anyway.
 */
export function planSplitJob(
  thread: ThreadContext,
  policy: SparsePolicy,
  { layer, n, threads }: { layer: number; n: number; threads: number },
  segments: readonly Segment[],
): (Pick<Job, 'kind' | 'blockSize' | 'unsplitGroups'> & { partialBytes: number }) | undefined {
  const { shape, groupSize, costs } = thread;
  const { budget, certifier, selector, step } = policy;
  const splitStep = step?.split;
  if (splitStep === undefined || certifier !== undefined || budget.tailMass !== undefined) return undefined;
  if (segments.length > 1 || shape.precision === 'int8') return undefined;
  const split = planSplit(shape.keyValueHeads, threads, n);
  if (split === undefined) return undefined;
  for (let head = split.unsplitGroups; head < shape.keyValueHeads; head++) {
    const context = { n, layer, head: head * groupSize, rows: groupSize };
    const sampleKeys = selector.sampleSize?.(groupBudget(context, budget), n) ?? n;
    if (
      sampleKeys > MAX_SPLIT_SAMPLE_FRACTION * n ||
      (costs !== undefined && fullAttentionIsFaster(context, policy, costs))
    )
      return undefined;
  }
  const partialBytes =
    (shape.keyValueHeads - split.unsplitGroups) * split.parts * splitStep.bytes(groupSize, shape.headDim);
  return { kind: 'decode-split', blockSize: split.parts, unsplitGroups: split.unsplitGroups, partialBytes };
}

/** A whole group, or a part of one: the first tasks are the whole ones. */
export function splitGroupsTask(thread: ThreadContext, job: Job, task: number): void {
  const policy = thread.policies[job.policy] as SparsePolicy;
  if (task < job.unsplitGroups) {
    attendGroup(thread, job, policy, 0, task, task * thread.groupSize, thread.groupSize);
    return;
  }
  const { attend } = splitStepOf(policy);
  const [splitIndex, part] = [
    Math.floor((task - job.unsplitGroups) / job.blockSize),
    (task - job.unsplitGroups) % job.blockSize,
  ];
  const work = loadSplitGroup(thread, job, job.unsplitGroups + splitIndex);
  const address = partAddress(thread, job, policy, splitIndex) + part * partBytesOf(thread, policy);
  attend(work, policy.budget, { part, parts: job.blockSize }, thread.jobMemory.views, address);
}

/** Puts the groups together that were done in parts. Done by the owner of the job. */
export function mergeParts(thread: ThreadContext, job: Job): void {
  const policy = thread.policies[job.policy] as SparsePolicy;
  const { merge } = splitStepOf(policy);
  const { kernels, views } = thread.jobMemory;
  for (let head = job.unsplitGroups; head < thread.shape.keyValueHeads; head++) {
    const work = loadSplitGroup(thread, job, head);
    const address = partAddress(thread, job, policy, head - job.unsplitGroups);
    writeGroupResult(
      thread,
      job,
      head * thread.groupSize,
      toGroupResult(work, merge(work, job.blockSize, kernels, views, address)),
    );
  }
}

function loadSplitGroup(thread: ThreadContext, job: Job, keyValueHead: number): GroupWork {
  return loadGroupWork(
    thread,
    job,
    0,
    keyValueHead,
    keyValueHead * thread.groupSize,
    thread.groupSize,
    job.position + 1,
  );
}

const splitStepOf = ({ step }: SparsePolicy): SplitStep => (step as FusedStep).split;

const partBytesOf = ({ groupSize, shape }: ThreadContext, policy: SparsePolicy): number =>
  splitStepOf(policy).bytes(groupSize, shape.headDim);

/** Where the parts of a group lie, number `number` of those that are split. */
const partAddress = (thread: ThreadContext, job: Job, policy: SparsePolicy, splitIndex: number): number =>
  job.partials + splitIndex * job.blockSize * partBytesOf(thread, policy);
