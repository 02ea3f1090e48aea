/**
 * Sparse attention, as tasks that any thread can take: select, attend, estimate the tail, certify. A task has groups:
 * the query heads of one position that share a key-value head. A selector of single heads is asked for each of them.
 */
import { attendWeighted } from '../cache/code-query.ts';
import {
  attendEverything,
  attendPositions,
  exactBytes,
  finishedOutputs,
  type HeadQuery,
  readSums,
  type SoftmaxSum,
  type ThreadRegion,
} from '../cache/head-query.ts';
import { certify } from '../certificates/certificate.ts';
import type { Certifier, SparsePolicy } from '../policies/policy.ts';
import type { Attended } from '../policies/sieve-step.ts';
import type { Selection } from '../selectors/selector.ts';
import type { Tail, TailEstimate } from '../tails/tail.ts';
import type { Job } from './job.ts';
import { noteResult, type RowResult } from './row-result.ts';
import { isGuarded, type StepCosts } from './step-costs.ts';
import { placeGroup, type ThreadContext } from './thread.ts';

/** Some groups: one key-value head of one position each. */
export function sparseGroupsTask(thread: ThreadContext, job: Job, task: number): void {
  const { keyValueHeads } = thread.shape;
  const groups = job.count * keyValueHeads;
  const policy = thread.policies[job.policy] as SparsePolicy;
  for (let group = task * job.grain; group < Math.min(groups, (task + 1) * job.grain); group++) {
    const [query, keyValueHead] = [Math.floor(group / keyValueHeads), group % keyValueHeads];
    const rows = policy.selector.unit === 'group' ? thread.group : 1;
    for (let done = 0; done < thread.group; done += rows) {
      attendGroup(thread, job, policy, query, keyValueHead, keyValueHead * thread.group + done, rows);
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
  const query = queryOf(thread, job, index, keyValueHead, head, rows, job.position + index + 1);
  noteGroup(thread, job, index * thread.heads + head, attendQuery(query, policy, thread.costs));
}

/** What came of some query rows. */
export interface GroupResult {
  /** (rows, d) */
  outputs: Float32Array;
  results: RowResult[];
}

/** Writes what came of the rows from number `row` of a job on to where the job wants it. */
export function noteGroup(
  { exchange: { views }, shape }: ThreadContext,
  job: Job,
  row: number,
  { outputs, results }: GroupResult,
): void {
  views().f32.set(outputs, job.outputs / 4 + row * shape.headDim);
  for (let i = 0; i < results.length; i++) noteResult(views(), job, row + i, results[i] as RowResult);
}

/** `rows` query heads from `head` on, of query number `index` of a job, which sees n keys; the workspaces get its numbers. */
export function queryOf(
  thread: ThreadContext,
  job: Job,
  index: number,
  keyValueHead: number,
  head: number,
  rows: number,
  n: number,
): HeadQuery {
  const { headDim } = thread.shape;
  const at = job.queries / 4 + (index * thread.heads + head) * headDim;
  const numbers = thread.exchange.views().f32.subarray(at, at + rows * headDim);
  return placeGroup(thread, job, keyValueHead, head, n, numbers);
}

/** Attends with the rows of one query, by a policy: their outputs (rows, d), and what they read. */
export function attendQuery(query: HeadQuery, policy: SparsePolicy, costs?: StepCosts): GroupResult {
  if (costs !== undefined && isGuarded(query, policy, costs)) {
    return attendChosen(query, { count: query.n, bytesScanned: 0 }, undefined);
  }
  const { budget, certifier } = policy;
  const attended = policy.attend?.(query, budget);
  const chosen =
    attended === undefined
      ? attendChosen(query, policy.selector.select(query, budget), policy.tail)
      : noted(query, attended);
  if (certifier === undefined) return chosen;
  const { headDim } = query.shape;
  for (const [row, result] of chosen.results.entries()) {
    if (holds(result, certifier)) continue;
    const { output, extended } = extendRow(query, row, certifier);
    chosen.outputs.set(output, row * headDim);
    // The bytes of both attempts: those of the first stand with the first row.
    const first = chosen.results[0] as RowResult;
    first.bytesRead += extended.bytesRead;
    chosen.results[row] = { ...extended, bytesRead: row === 0 ? first.bytesRead : 0 };
  }
  return chosen;
}

/** Attends to the selected keys, and adds the tail. */
function attendChosen(query: HeadQuery, selection: Selection, tail: Tail | undefined): GroupResult {
  const { rows, shape, n } = query;
  const { headDim } = shape;
  const drops = tail === undefined || tail.drops;
  const region = attendSelection(query, selection);
  const read = readSums(region, rows);
  const means = drops ? undefined : finishedOutputs(region, rows, headDim).slice();
  const estimate = drops || selection.count === n ? NO_TAIL : tail.add(query, selection, region);
  const whole = drops ? read : readSums(region, rows);
  const outputs = finishedOutputs(region, rows, headDim).slice();

  const rowsRead = exactBytes(query, selection.count);
  const bytesRead = selection.bytesScanned + rowsRead + estimate.bytesRead;
  const results = read.map((head, row): RowResult => {
    const certificate = certify(query, row, {
      count: selection.count,
      head,
      output: outputs.subarray(row * headDim, (row + 1) * headDim),
      ...(means && { headMean: means.subarray(row * headDim, (row + 1) * headDim) }),
      ...(selection.totals && { total: selection.totals[row] as SoftmaxSum }),
      ...(selection.tailBound && { tailBound: selection.tailBound }),
      ...(selection.tailShare !== undefined && { tailShare: selection.tailShare }),
      ...(estimate.errorBound !== undefined && { errorBound: estimate.errorBound }),
      ...(estimate.errors && { estimate: { error: estimate.errors[row] as number, total: whole[row] as SoftmaxSum } }),
    });
    const outcome = selection.count === n ? 'dense' : 'chosen';
    return {
      ...certificate,
      keysRead: selection.count,
      keysCoded: estimate.keysCoded,
      bytesRead: row === 0 ? bytesRead : 0,
      outcome,
      keysNeeded: 0,
    };
  });
  return { outputs, results };
}

/** Outputs and results of a step that was done at once. Written out, since it is what every step comes by. */
export function noted(query: HeadQuery, attended: Attended): GroupResult {
  const { headDim } = query.shape;
  const { heads, totals, errors, keysRead, keysCoded, bytesCoded, outputs } = attended;
  const outcome = keysRead === query.n ? 'dense' : 'chosen';
  const results: RowResult[] = [];
  for (let row = 0; row < heads.length; row++) {
    const output = outputs.subarray(row * headDim, (row + 1) * headDim);
    const estimate = { error: errors[row] as number, total: totals[row] as SoftmaxSum };
    const findings = { count: keysRead, head: heads[row] as SoftmaxSum, output, estimate };
    const { kind, tailMass, outputError } = certify(query, row, findings);
    const bytesRead = row === 0 ? bytesCoded + exactBytes(query, keysRead) : 0;
    results.push({ kind, tailMass, outputError, keysRead, keysCoded, bytesRead, outcome, keysNeeded: 0 });
  }
  return { outputs, results };
}

const NO_TAIL: TailEstimate = { bytesRead: 0, keysCoded: 0 };

/**
 * With more keys than this share of all, all are read: picking them out would save little. No row that a certificate
 * asks more of reads over 1.25 times what its bounds ask for.
 */
const DENSE_SHARE = 0.8;

const holds = ({ kind, tailMass }: RowResult, certifier: Certifier): boolean =>
  kind === 'certified' && tailMass <= certifier.tailMass;

/** One row again, with as many keys as its certificate asks for, or all. */
function extendRow(query: HeadQuery, row: number, certifier: Certifier): { output: Float32Array; extended: RowResult } {
  const alone = focusRow(query, row);
  const selection = certifier.selector.select(alone, certifier.budget);
  const { keysNeeded = 1 } = selection;
  let { bytesScanned } = selection;
  if (selection.count <= DENSE_SHARE * query.n) {
    const { outputs, results } = attendChosen(alone, selection, certifier.tail);
    const result = results[0] as RowResult;
    // Where scores are so large that float32 cannot tell them apart, bounds on their rounding may still be too wide.
    if (holds(result, certifier)) return { output: outputs, extended: { ...result, outcome: 'extended', keysNeeded } };
    bytesScanned = result.bytesRead;
  }
  const { outputs, results } = attendChosen(alone, { count: query.n, bytesScanned }, undefined);
  return { output: outputs, extended: { ...(results[0] as RowResult), keysNeeded } };
}

/** One row of a query on its own: its numbers take the place of row 0. Rows are taken in order. */
function focusRow(query: HeadQuery, row: number): HeadQuery {
  const d = query.shape.headDim;
  for (const region of new Set(query.segments.map((segment) => segment.region))) {
    const { f32 } = region.views();
    const queries = region.workspace.queries / 4;
    f32.copyWithin(queries, queries + row * d, queries + (row + 1) * d);
  }
  return { ...query, rows: 1, head: query.head + row, norms: [query.norms[row] as number] };
}

/** Attends to the selected keys. Returns the region where the state lies. */
function attendSelection(query: HeadQuery, { count, sample }: Selection): ThreadRegion {
  if (count === query.n) return attendEverything(query);
  return sample === undefined ? attendPositions(query, count) : attendWeighted(query, count);
}
