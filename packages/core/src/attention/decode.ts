/**
 * Attention of single positions by a policy: select, attend, estimate the tail, certify. A task is a number of GQA groups,
 * the query heads of one position that share a key-value head; a selector of single heads is asked for each of them.
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
import type { Certifier, SparseParts } from '../policies/policy.ts';
import type { Selection } from '../selectors/selector.ts';
import type { SieveStepResult } from '../sieve/step.ts';
import type { Tail, TailEstimate } from '../tails/tail.ts';
import type { Job } from './job.ts';
import { type RowResult, writeRowResult } from './row-result.ts';
import { loadGroup, sparseParts, type ThreadContext } from './thread.ts';

export function decodeGroupsTask(thread: ThreadContext, job: Job, task: number): void {
  const { keyValueHeads } = thread.shape;
  const end = Math.min(job.count * keyValueHeads, (task + 1) * job.blockSize);
  const rows = sparseParts(thread, job).selector.unit === 'group' ? thread.groupSize : 1;
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
  const isFull =
    fullUnits.length > 0 ? fullUnits[head / rows] === 1 : thread.policies[job.policy]?.fallback?.(work) === true;
  const result = isFull ? attendFully(work) : attendByPolicy(work, sparseParts(thread, job));
  writeGroupResult(thread, job, query * thread.heads + head, result);
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

/** Attends with the rows of a group, by a policy. */
export function attendByPolicy(work: GroupWork, policy: SparseParts): GroupResult {
  const { budget, certifier } = policy;
  const stepResult = policy.step?.attend(work, budget);
  const groupResult =
    stepResult === undefined
      ? attendSelection(work, policy.selector.select(work, budget), policy.tail)
      : toGroupResult(work, stepResult);
  return certifier === undefined ? groupResult : certifyRows(work, groupResult, certifier);
}

/** Attends again with the rows whose certificate allows too much. */
function certifyRows(work: GroupWork, { outputs, results }: GroupResult, certifier: Certifier): GroupResult {
  const { headDim } = work.shape;
  for (const [row, result] of results.entries()) {
    if (meetsCertificate(result, certifier)) continue;
    const { output, fallback } = applyCertificateFallback(work, row, certifier);
    outputs.set(output, row * headDim);
    // The bytes of both attempts, which stand with the first row.
    const first = results[0] as RowResult;
    first.bytesRead += fallback.bytesRead;
    results[row] = { ...fallback, bytesRead: row === 0 ? first.bytesRead : 0 };
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

/** Outputs and results of a fused step. Repeats what `attendSelection` does, since this is the hot path. */
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
 * A certificate that needs a larger share of the keys reads all of them: picking them out would save little, and no row
 * reads more than 1.25 times what its bounds ask for.
 */
const FULL_ATTENTION_SHARE = 0.8;

const meetsCertificate = ({ kind, tailMass }: RowResult, certifier: Certifier): boolean =>
  kind === 'certified' && tailMass <= certifier.tailMass;

/** Attends with one row to the keys that its certificate asks for, or to all. */
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

/** One row of a group on its own: its query takes the place of row 0, so that rows are taken in order. */
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
