/**
 * Attention of single positions by a policy: select, attend, estimate the tail, certify. A task is a number of GQA groups,
 * the query heads of one position that share a key-value head; a selector of single heads is asked for each of them.
 */
import { certify } from '../certificates/certificate.ts';
import type { MergedParts } from '../certificates/certified-parts.ts';
import { attendCertified, type CertifiedRow, provableShare } from '../certificates/certified-step.ts';
import type { ErrorEstimate } from '../group/estimates.ts';
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
import { withSink } from '../group/sinks.ts';
import type { CertifiedTarget, SparseParts } from '../policies/policy.ts';
import { groupBudget, type Selection } from '../selectors/selector.ts';
import type { SieveStepResult } from '../sieve/step.ts';
import type { Tail, TailEstimate } from '../tails/tail.ts';
import type { Job } from './job.ts';
import type { PlannedPolicy } from './planner.ts';
import { type RowResult, writeRowResult } from './row-result.ts';
import { loadGroup, sparseParts, type ThreadContext } from './thread.ts';

export function decodeGroupsTask(thread: ThreadContext, job: Job, task: number): void {
  const { keyValueHeads } = thread.shape;
  const end = Math.min(job.count * keyValueHeads, (task + 1) * job.blockSize);
  const rows = sparseParts(thread, job).unit === 'group' ? thread.groupSize : 1;
  for (let group = task * job.blockSize; group < end; group++) {
    const [query, keyValueHead] = [Math.floor(group / keyValueHeads), group % keyValueHeads];
    const first = keyValueHead * thread.groupSize;
    for (let head = first; head < first + thread.groupSize; head += rows) {
      decodeGroup(thread, job, query, keyValueHead, head, rows);
    }
  }
}

/** Attends with `rows` query heads from `head` on, of query number `query` of a job. */
export function decodeGroup(
  thread: ThreadContext,
  job: Job,
  query: number,
  keyValueHead: number,
  head: number,
  rows: number,
): void {
  const work = loadQueryGroup(thread, job, query, keyValueHead, head, rows, job.position + query + 1);
  const { fullUnits } = job;
  const { fallback, maxReadShare } = thread.policies[job.policy] as PlannedPolicy;
  const parts = sparseParts(thread, job);
  const isFull = fullUnits.length > 0 ? fullUnits[head / rows] === 1 : fallback?.(work) === true;
  const attend = job.keepsBudget === 1 ? attendByPolicy : attendWithinError;
  const result = isFull ? attendFully(work) : attend(work, parts, maxReadShare);
  writeGroupResult(thread, job, query * thread.heads + head, result);
}

/** Attends by a policy, and where the result is in doubt, once more, or to every key: see `Selector.doubt`. */
function attendWithinError(work: GroupWork, parts: SparseParts, maxReadShare: number | undefined): GroupResult {
  const first = attendByPolicy(work, parts, maxReadShare);
  const { doubt } = parts.selector;
  if (doubt === undefined || isWithin(first, doubt.maxError) || !doubt.holds(work)) return first;
  const selection = doubt.again.select(work, parts.budget);
  const second = selection && withBytesOf(first, attendSelection(work, selection, parts.tail));
  if (second !== undefined && isWithin(second, doubt.again.maxError)) return second;
  return withBytesOf(second ?? first, attendFully(work));
}

const isWithin = ({ results }: GroupResult, maxError: number): boolean =>
  results.every(({ kind, outputError }) => kind !== 'estimated' || outputError <= maxError);

/** A later attempt with the bytes of an earlier one, which stand with the first row. */
function withBytesOf(earlier: GroupResult, later: GroupResult): GroupResult {
  (later.results[0] as RowResult).bytesRead += (earlier.results[0] as RowResult).bytesRead;
  return later;
}

/** Outputs and results of some query rows. */
export interface GroupResult {
  /** (rows, d) */
  outputs: Float32Array;
  results: RowResult[];
}

/** Writes outputs and results to the rows of a job from number `row` on. */
export function writeGroupResult(
  { shape }: ThreadContext,
  { data }: Job,
  row: number,
  { outputs, results }: GroupResult,
): void {
  data.outputs.set(outputs, row * shape.headDim);
  for (let i = 0; i < results.length; i++) writeRowResult(data.results, row + i, results[i] as RowResult);
}

/** The work of `rows` query heads from `head` on, of query number `query` of a job, over the first n keys. */
export function loadQueryGroup(
  thread: ThreadContext,
  job: Job,
  query: number,
  keyValueHead: number,
  head: number,
  rows: number,
  n: number,
): GroupWork {
  const { headDim } = thread.shape;
  const at = (query * thread.heads + head) * headDim;
  return loadGroup(thread, job, keyValueHead, head, n, job.data.queries.subarray(at, at + rows * headDim));
}

/** Attends with the rows of a group to every key. */
const attendFully = (work: GroupWork): GroupResult =>
  attendSelection(work, { count: work.n, bytesScanned: 0 }, undefined);

/**
 * Attends with the rows of a group, by a policy. `maxReadShare` is the share of its keys from which on a row that has to be
 * certified reads all of them.
 */
export function attendByPolicy(work: GroupWork, policy: SparseParts, maxReadShare = MAX_READ_SHARE): GroupResult {
  const { budget, certified } = policy;
  if (certified?.atOnce) {
    const coversAll = budget.tailMass === undefined && groupBudget(work, budget) >= work.n;
    return coversAll ? attendFully(work) : attendCertifiedRows(work, certified, maxReadShare);
  }
  const stepResult = policy.step?.attend(work, budget);
  const groupResult =
    stepResult === undefined
      ? attendSelection(work, policy.selector.select(work, budget), policy.tail)
      : toGroupResult(work, stepResult);
  return certified === undefined ? groupResult : certifyRows(work, groupResult, certified, maxReadShare);
}

/** Attends again with the rows whose certificate allows too much. */
function certifyRows(
  work: GroupWork,
  { outputs, results }: GroupResult,
  certified: CertifiedTarget,
  maxReadShare: number,
): GroupResult {
  const { headDim } = work.shape;
  for (const [row, result] of results.entries()) {
    if (result.kind === 'certified' && result.tailMass <= certified.tailMass) continue;
    const again = attendCertifiedRows(isolateRow(work, row), certified, maxReadShare);
    const second = again.results[0] as RowResult;
    outputs.set(again.outputs, row * headDim);
    // The bytes of both attempts, which stand with the first row.
    const first = results[0] as RowResult;
    first.bytesRead += second.bytesRead;
    results[row] = { ...second, bytesRead: row === 0 ? first.bytesRead : 0 };
  }
  return { outputs, results };
}

/** Attends with the rows of a group to as many keys as a certificate takes, or to all. */
function attendCertifiedRows(
  work: GroupWork,
  { tailMass, outcome }: CertifiedTarget,
  maxReadShare: number,
): GroupResult {
  const { bytesScanned, read } = attendCertified(work, provableShare(work, tailMass), maxReadShare);
  if (read === undefined) return attendSelection(work, { count: work.n, bytesScanned }, undefined);
  const { headDim } = work.shape;
  const outputs = normalizedOutputs(read.region, work.rows, headDim).slice();
  const bytesRead = bytesScanned + exactRowBytes(work, read.distinctKeys);
  return toCertifiedGroup(work, { outputs, rows: read.rows, bytesRead }, outcome);
}

/** Outputs and results of what the rows of a group have read for a certificate. */
export function toCertifiedGroup(
  work: GroupWork,
  { outputs, rows, bytesRead }: MergedParts,
  outcome: CertifiedTarget['outcome'],
): GroupResult {
  const { headDim } = work.shape;
  const results: RowResult[] = [];
  for (let row = 0; row < work.rows; row++) {
    const { count, selectedSum, tailBound } = rows[row] as CertifiedRow;
    const output = outputs.subarray(row * headDim, (row + 1) * headDim);
    const { kind, tailMass, outputError } = certify(work, row, { count, selectedSum, tailBound, output });
    results.push({
      kind,
      tailMass,
      outputError,
      keysExact: count,
      keysQuantized: 0,
      bytesRead: row === 0 ? bytesRead : 0,
      outcome: count === work.n ? 'full' : outcome,
    });
  }
  return { outputs, results };
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
      ...(selection.totalSums && {
        totalSum: withSink(selection.totalSums[row] as RunningLogSumExp, work.sinks?.[row]),
      }),
      ...(selection.tailBound && { tailBound: selection.tailBound }),
      ...(selection.tailShare !== undefined && { tailShare: selection.tailShare }),
      ...(estimate.errorBound !== undefined && { errorBound: estimate.errorBound }),
      ...(estimate.errors && {
        estimate: { ...(estimate.errors[row] as ErrorEstimate), totalSum: totalSums[row] as RunningLogSumExp },
      }),
    });
    const outcome = selection.count === n ? 'full' : 'asSelected';
    return {
      ...certificate,
      keysExact: selection.count,
      keysQuantized: estimate.keysQuantized,
      bytesRead: row === 0 ? bytesRead : 0,
      outcome,
    };
  });
  return { outputs, results };
}

/** Outputs and results of a fused step. Repeats what `attendSelection` does, since this is the hot path. */
export function toGroupResult(work: GroupWork, stepResult: SieveStepResult): GroupResult {
  const { headDim } = work.shape;
  const { selectedSums, totalSums, errors, keysExact, keysQuantized, bytesQuantized, outputs } = stepResult;
  const outcome = keysExact === work.n ? 'full' : 'asSelected';
  const results: RowResult[] = [];
  for (let row = 0; row < selectedSums.length; row++) {
    const output = outputs.subarray(row * headDim, (row + 1) * headDim);
    const { error, exactNorm } = errors[row] as ErrorEstimate;
    const estimate = { error, exactNorm, totalSum: totalSums[row] as RunningLogSumExp };
    const findings = { count: keysExact, selectedSum: selectedSums[row] as RunningLogSumExp, output, estimate };
    const { kind, tailMass, outputError } = certify(work, row, findings);
    const bytesRead = row === 0 ? bytesQuantized + exactRowBytes(work, keysExact) : 0;
    results.push({ kind, tailMass, outputError, keysExact, keysQuantized, bytesRead, outcome });
  }
  return { outputs, results };
}

const NO_TAIL_ESTIMATE: TailEstimate = { bytesRead: 0, keysQuantized: 0 };

/**
 * Rows that need a larger share of their keys for a certificate read all of them, where it is not known what either costs:
 * a key that is picked out takes half as long again as one that is read in its turn (measured on captured heads).
 */
export const MAX_READ_SHARE = 0.6;

/** One row of a group on its own: its query takes the place of row 0, so that rows are taken in order. */
function isolateRow(work: GroupWork, row: number): GroupWork {
  const d = work.shape.headDim;
  for (const region of new Set(work.segments.map((segment) => segment.region))) {
    const { f32 } = region.views();
    const queries = region.workspace.queries / 4;
    f32.copyWithin(queries, queries + row * d, queries + (row + 1) * d);
  }
  const sinks = work.sinks && [work.sinks[row] as number];
  return { ...work, rows: 1, head: work.head + row, queryNorms: [work.queryNorms[row] as number], sinks };
}

/** Attends to the selected keys. Returns the region where the state lies. */
function attendSelectedKeys(work: GroupWork, { count, sample }: Selection): ThreadRegion {
  if (count === work.n) return attendAllKeys(work);
  return sample === undefined ? attendPositions(work, count) : attendWeighted(work, count);
}
