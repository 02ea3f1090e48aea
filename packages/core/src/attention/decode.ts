/**
 * Sparse attention, as tasks that any thread can take: select, attend, estimate the tail, certify. A task has groups:
 * the query heads of one position that share a key-value head. A selector of single heads is asked for each of them.
 */

import { certify } from '../certificates/certificate.ts';
import {
  attendAllKeys,
  attendPositions,
  exactRowBytes,
  type GroupWork,
  normalizedOutputs,
  type RunningLogSumExp,
  readStateSums,
  type ThreadRegion,
} from '../group/group-work.ts';
import { attendWeighted } from '../group/quantized-work.ts';
import type { Certifier, SparsePolicy } from '../policies/policy.ts';
import type { Selection } from '../selectors/selector.ts';
import type { SieveStepResult } from '../sieve/step.ts';
import type { Tail, TailEstimate } from '../tails/tail.ts';
import type { Job } from './job.ts';
import { type RowResult, writeRowResult } from './row-result.ts';
import { fullAttentionIsFaster, type StepCosts } from './step-costs.ts';
import { loadGroup, type ThreadContext } from './thread.ts';

/** Some groups: one key-value head of one position each. */
export function decodeGroupsTask(thread: ThreadContext, job: Job, task: number): void {
  const { keyValueHeads } = thread.shape;
  const groups = job.count * keyValueHeads;
  const policy = thread.policies[job.policy] as SparsePolicy;
  for (let groupIndex = task * job.blockSize; groupIndex < Math.min(groups, (task + 1) * job.blockSize); groupIndex++) {
    const [queryIndex, keyValueHead] = [Math.floor(groupIndex / keyValueHeads), groupIndex % keyValueHeads];
    const rows = policy.selector.unit === 'group' ? thread.groupSize : 1;
    for (let done = 0; done < thread.groupSize; done += rows) {
      attendGroup(thread, job, policy, queryIndex, keyValueHead, keyValueHead * thread.groupSize + done, rows);
    }
  }
}

/** `rows` query heads from `head` on, of query number `index`. */
export function attendGroup(
  thread: ThreadContext,
  job: Job,
  policy: SparsePolicy,
  index: number,
  keyValueHead: number,
  head: number,
  rows: number,
): void {
  const work = loadGroupWork(thread, job, index, keyValueHead, head, rows, job.position + index + 1);
  writeGroupResult(thread, job, index * thread.heads + head, attendByPolicy(work, policy, thread.costs));
}

/** What came of some query rows. */
export interface GroupResult {
  /** (rows, d) */
  outputs: Float32Array;
  results: RowResult[];
}

/** Writes what came of the rows from number `row` of a job on to where the job wants it. */
export function writeGroupResult(
  { jobMemory: { views }, shape }: ThreadContext,
  job: Job,
  row: number,
  { outputs, results }: GroupResult,
): void {
  views().f32.set(outputs, job.outputs / 4 + row * shape.headDim);
  for (let i = 0; i < results.length; i++) writeRowResult(views(), job, row + i, results[i] as RowResult);
}

/** `rows` query heads from `head` on, of query number `index` of a job, which sees n keys; the workspaces get its numbers. */
export function loadGroupWork(
  thread: ThreadContext,
  job: Job,
  index: number,
  keyValueHead: number,
  head: number,
  rows: number,
  n: number,
): GroupWork {
  const { headDim } = thread.shape;
  const at = job.queries / 4 + (index * thread.heads + head) * headDim;
  const queries = thread.jobMemory.views().f32.subarray(at, at + rows * headDim);
  return loadGroup(thread, job, keyValueHead, head, n, queries);
}

/** Attends with the rows of one query, by a policy: their outputs (rows, d), and what they read. */
export function attendByPolicy(work: GroupWork, policy: SparsePolicy, costs?: StepCosts): GroupResult {
  if (costs !== undefined && fullAttentionIsFaster(work, policy, costs)) {
    return attendSelection(work, { count: work.n, bytesScanned: 0 }, undefined);
  }
  const { budget, certifier } = policy;
  const stepResult = policy.step?.attend(work, budget);
  const groupResult =
    stepResult === undefined
      ? attendSelection(work, policy.selector.select(work, budget), policy.tail)
      : toGroupResult(work, stepResult);
  if (certifier === undefined) return groupResult;
  const { headDim } = work.shape;
  for (const [row, result] of groupResult.results.entries()) {
    if (meetsCertificate(result, certifier)) continue;
    const { output, fallback } = applyCertificateFallback(work, row, certifier);
    groupResult.outputs.set(output, row * headDim);
    // The bytes of both attempts: those of the first stand with the first row.
    const first = groupResult.results[0] as RowResult;
    first.bytesRead += fallback.bytesRead;
    groupResult.results[row] = { ...fallback, bytesRead: row === 0 ? first.bytesRead : 0 };
  }
  return groupResult;
}

/** Attends to the selected keys, and adds the tail. */
function attendSelection(work: GroupWork, selection: Selection, tail: Tail | undefined): GroupResult {
  const { rows, shape, n } = work;
  const { headDim } = shape;
  const dropsTail = tail === undefined || tail.dropsTail;
  const region = attendSelectedKeys(work, selection);
  const selectedSums = readStateSums(region, rows);
  const selectedMeans = dropsTail ? undefined : normalizedOutputs(region, rows, headDim).slice();
  const estimate = dropsTail || selection.count === n ? NO_TAIL_ESTIMATE : tail.add(work, selection, region);
  const totalSums = dropsTail ? selectedSums : readStateSums(region, rows);
  const outputs = normalizedOutputs(region, rows, headDim).slice();

  const exactBytes = exactRowBytes(work, selection.count);
  const bytesRead = selection.bytesScanned + exactBytes + estimate.bytesRead;
  const results = selectedSums.map((selectedSum, row): RowResult => {
    const certificate = certify(work, row, {
      count: selection.count,
      selectedSum,
      output: outputs.subarray(row * headDim, (row + 1) * headDim),
      ...(selectedMeans && { selectedMean: selectedMeans.subarray(row * headDim, (row + 1) * headDim) }),
      ...(selection.totalSums && { totalSum: selection.totalSums[row] as RunningLogSumExp }),
      ...(selection.tailBound && { tailBound: selection.tailBound }),
      ...(selection.tailShare !== undefined && { tailShare: selection.tailShare }),
      ...(estimate.errorBound !== undefined && { errorBound: estimate.errorBound }),
      ...(estimate.errors && {
        estimate: { error: estimate.errors[row] as number, totalSum: totalSums[row] as RunningLogSumExp },
      }),
    });
    const outcome = selection.count === n ? 'full' : 'asSelected';
    return {
      ...certificate,
      keysExact: selection.count,
      keysQuantized: estimate.keysQuantized,
      bytesRead: row === 0 ? bytesRead : 0,
      outcome,
      keysNeeded: 0,
    };
  });
  return { outputs, results };
}

/** Outputs and results of a step that was done at once. Written out, since it is what every step comes by. */
export function toGroupResult(work: GroupWork, stepResult: SieveStepResult): GroupResult {
  const { headDim } = work.shape;
  const { selectedSums, totalSums, errors, keysExact, keysQuantized, bytesQuantized, outputs } = stepResult;
  const outcome = keysExact === work.n ? 'full' : 'asSelected';
  const results: RowResult[] = [];
  for (let row = 0; row < selectedSums.length; row++) {
    const output = outputs.subarray(row * headDim, (row + 1) * headDim);
    const estimate = { error: errors[row] as number, totalSum: totalSums[row] as RunningLogSumExp };
    const findings = { count: keysExact, selectedSum: selectedSums[row] as RunningLogSumExp, output, estimate };
    const { kind, tailMass, outputError } = certify(work, row, findings);
    const bytesRead = row === 0 ? bytesQuantized + exactRowBytes(work, keysExact) : 0;
    results.push({ kind, tailMass, outputError, keysExact, keysQuantized, bytesRead, outcome, keysNeeded: 0 });
  }
  return { outputs, results };
}

const NO_TAIL_ESTIMATE: TailEstimate = { bytesRead: 0, keysQuantized: 0 };

/**
 * With more keys than this share of all, all are read: picking them out would save little. No row that a certificate
 * asks more of reads over 1.25 times what its bounds ask for.
 */
const FULL_ATTENTION_SHARE = 0.8;

const meetsCertificate = ({ kind, tailMass }: RowResult, certifier: Certifier): boolean =>
  kind === 'certified' && tailMass <= certifier.tailMass;

/** One row again, with as many keys as its certificate asks for, or all. */
function applyCertificateFallback(
  work: GroupWork,
  row: number,
  certifier: Certifier,
): { output: Float32Array; fallback: RowResult } {
  const rowWork = isolateRow(work, row);
  const selection = certifier.selector.select(rowWork, certifier.budget);
  const { keysNeeded = 1 } = selection;
  let { bytesScanned } = selection;
  if (selection.count <= FULL_ATTENTION_SHARE * work.n) {
    const { outputs, results } = attendSelection(rowWork, selection, certifier.tail);
    const result = results[0] as RowResult;
    // Where scores are so large that float32 cannot tell them apart, bounds on their rounding may still be too wide.
    if (meetsCertificate(result, certifier))
      return { output: outputs, fallback: { ...result, outcome: 'certificateFallback', keysNeeded } };
    bytesScanned = result.bytesRead;
  }
  const { outputs, results } = attendSelection(rowWork, { count: work.n, bytesScanned }, undefined);
  return { output: outputs, fallback: { ...(results[0] as RowResult), keysNeeded } };
}

/** One row of a query on its own: its numbers take the place of row 0. Rows are taken in order. */
function isolateRow(work: GroupWork, row: number): GroupWork {
  const d = work.shape.headDim;
  for (const region of new Set(work.segments.map((segment) => segment.region))) {
    const { f32 } = region.views();
    const queries = region.workspace.queries / 4;
    f32.copyWithin(queries, queries + row * d, queries + (row + 1) * d);
  }
  return { ...work, rows: 1, head: work.head + row, queryNorms: [work.queryNorms[row] as number] };
}

/** Attends to the selected keys. Returns the region where the state lies. */
function attendSelectedKeys(work: GroupWork, { count, sample }: Selection): ThreadRegion {
  if (count === work.n) return attendAllKeys(work);
  return sample === undefined ? attendPositions(work, count) : attendWeighted(work, count);
}
