/**
 * One position with some of its GQA groups split over threads: where the key-value heads do not divide evenly among the
 * threads, the last of them are done in parts, so that no thread is idle. `planSplit` says when.
 */
import { attendCertifiedPart, mergeCertifiedParts } from '../certificates/certified-parts.ts';
import type { GroupWork } from '../group/group-work.ts';
import type { FusedStep } from '../policies/definition.ts';
import type { SparseParts } from '../policies/policy.ts';
import {
  decodeGroup,
  loadQueryGroup,
  MAX_READ_SHARE,
  toCertifiedGroup,
  toGroupResult,
  writeGroupResult,
} from './decode.ts';
import type { Job } from './job.ts';
import type { PlannedPolicy } from './planner.ts';
import { splitPartBytes } from './split-part-bytes.ts';
import { sparseParts, type ThreadContext } from './thread.ts';

/** A whole group, or a part of one: the first tasks are the whole ones. */
export function splitDecodeTask(thread: ThreadContext, job: Job, task: number): void {
  if (task < job.unsplitGroups) {
    decodeGroup(thread, job, 0, task, task * thread.groupSize, thread.groupSize);
    return;
  }
  const splitIndex = Math.floor((task - job.unsplitGroups) / job.blockSize);
  const part = { part: (task - job.unsplitGroups) % job.blockSize, parts: job.blockSize };
  const policy = sparseParts(thread, job);
  const work = loadSplitGroup(thread, job, job.unsplitGroups + splitIndex);
  const address = partAddress(thread, job, policy, splitIndex) + part.part * partBytesOf(thread, policy);
  const { views } = thread.jobMemory;
  const { certified, budget } = policy;
  if (certified === undefined) {
    fusedStepOf(policy).split.attend(work, budget, part, views, address);
    return;
  }
  const { maxReadShare = MAX_READ_SHARE } = thread.policies[job.policy] as PlannedPolicy;
  attendCertifiedPart(work, certified.tailMass, maxReadShare, part, views, address);
}

/** Merges the groups that were done in parts. Done by the owner of the job. */
export function mergeParts(thread: ThreadContext, job: Job): void {
  const policy = sparseParts(thread, job);
  const { kernels, views } = thread.jobMemory;
  for (let head = job.unsplitGroups; head < thread.shape.keyValueHeads; head++) {
    const work = loadSplitGroup(thread, job, head);
    const address = partAddress(thread, job, policy, head - job.unsplitGroups);
    const parts = [work, job.blockSize, kernels, views, address] as const;
    const result =
      policy.certified === undefined
        ? toGroupResult(work, fusedStepOf(policy).split.merge(...parts))
        : toCertifiedGroup(work, mergeCertifiedParts(...parts), policy.certified.outcome);
    writeGroupResult(thread, job, head * thread.groupSize, result);
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

const fusedStepOf = ({ step }: SparseParts): FusedStep => step as FusedStep;

const partBytesOf = ({ groupSize, shape }: ThreadContext, policy: SparseParts): number =>
  splitPartBytes(policy, groupSize, shape.headDim) as number;

/** Address of the parts of a group, which is number `splitIndex` of those that are split. */
const partAddress = (thread: ThreadContext, job: Job, policy: SparseParts, splitIndex: number): number =>
  job.data.partials + splitIndex * job.blockSize * partBytesOf(thread, policy);
