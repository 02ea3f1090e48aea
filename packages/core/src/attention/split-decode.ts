/**
 * One position with some of its GQA groups split over threads: where the key-value heads do not divide evenly among the
 * threads, the last of them are done in parts, so that no thread is idle. `planSplit` says when.
 */
import type { GroupWork } from '../group/group-work.ts';
import type { FusedStep, SplitStep } from '../policies/definition.ts';
import type { SparseParts } from '../policies/policy.ts';
import { decodeGroup, loadQueryGroup, toGroupResult, writeGroupResult } from './decode.ts';
import type { Job } from './job.ts';
import { sparseParts, type ThreadContext } from './thread.ts';

/** A whole group, or a part of one: the first tasks are the whole ones. */
export function splitDecodeTask(thread: ThreadContext, job: Job, task: number): void {
  const policy = sparseParts(thread, job);
  if (task < job.unsplitGroups) {
    decodeGroup(thread, job, 0, task, task * thread.groupSize, thread.groupSize);
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

/** Merges the groups that were done in parts. Done by the owner of the job. */
export function mergeParts(thread: ThreadContext, job: Job): void {
  const policy = sparseParts(thread, job);
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
  return loadQueryGroup(
    thread,
    job,
    0,
    keyValueHead,
    keyValueHead * thread.groupSize,
    thread.groupSize,
    job.position + 1,
  );
}

const splitStepOf = ({ step }: SparseParts): SplitStep => (step as FusedStep).split;

const partBytesOf = ({ groupSize, shape }: ThreadContext, policy: SparseParts): number =>
  splitStepOf(policy).bytes(groupSize, shape.headDim);

/** Address of the parts of a group, which is number `splitIndex` of those that are split. */
const partAddress = (thread: ThreadContext, job: Job, policy: SparseParts, splitIndex: number): number =>
  job.data.partials + splitIndex * job.blockSize * partBytesOf(thread, policy);
