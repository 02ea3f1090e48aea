/**
 * Sparse attention, as tasks that any thread can take: select, attend, estimate the tail, certify. A task has groups:
 * the query heads of one position that share a key-value head. A selector of single heads is asked for each of them.
 */
import { attendWeighted } from '../cache/code-query.ts';
import {
  attendEverything,
  attendPositions,
  finishedOutputs,
  type HeadQuery,
  placeQueries,
  readSums,
  type SoftmaxSum,
  type ThreadRegion,
} from '../cache/head-query.ts';
import { certify } from '../certificates/certificate.ts';
import { rowBytes } from '../kernels/layout.ts';
import type { SparsePolicy } from '../policies/policy.ts';
import type { Selection } from '../selectors/selector.ts';
import type { Job } from './job.ts';
import { noteResult, type RowResult } from './row-result.ts';
import { headSegments, type ThreadContext } from './thread.ts';

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
function attendGroup(
  thread: ThreadContext,
  job: Job,
  policy: SparsePolicy,
  index: number,
  keyValueHead: number,
  head: number,
  rows: number,
): void {
  const { shape, exchange } = thread;
  const { headDim } = shape;
  const n = job.position + index + 1;
  const row = index * thread.heads + head;
  const at = job.queries / 4 + row * headDim;
  const numbers = exchange.views().f32.subarray(at, at + rows * headDim);
  const [keyNorm, valueNorm, typicalValueNorm] = job.norms.slice(3 * keyValueHead) as [number, number, number];
  const query: HeadQuery = {
    shape,
    layer: job.layer,
    head,
    rows,
    n,
    segments: headSegments(thread, job.segments, job.layer, keyValueHead, 0, n),
    norms: placeQueries(thread.regions, numbers, headDim, 0),
    keyNorm,
    valueNorm,
    typicalValueNorm,
  };
  const { outputs, results } = attendQuery(query, policy);
  exchange.views().f32.set(outputs, job.outputs / 4 + row * headDim);
  for (const [i, result] of results.entries()) {
    noteResult(exchange.views(), job, row + i, { ...result, bytesRead: i === 0 ? result.bytesRead : 0 });
  }
}

/** Attends with the rows of one query, by a policy: their outputs (rows, d), which the next call overwrites. */
export function attendQuery(query: HeadQuery, policy: SparsePolicy): { outputs: Float32Array; results: RowResult[] } {
  const { rows, shape, n } = query;
  const { headDim } = shape;
  const selection = policy.selector.select(query, policy.budget);
  const region = attendSelection(query, selection);
  const read = readSums(region, rows);
  const means = policy.tail.drops ? undefined : finishedOutputs(region, rows, headDim).slice();
  const tail = selection.count < n ? policy.tail.add(query, selection, region) : { bytesRead: 0, keysCoded: 0 };
  const whole = policy.tail.drops ? read : readSums(region, rows);
  const outputs = finishedOutputs(region, rows, headDim);

  const rowsRead = 2 * selection.count * rowBytes(headDim, shape.precision);
  const bytesRead = selection.bytesScanned + rowsRead + tail.bytesRead;
  const results = read.map((head, row): RowResult => {
    const certificate = certify(query, row, {
      count: selection.count,
      head,
      output: outputs.subarray(row * headDim, (row + 1) * headDim),
      ...(means && { headMean: means.subarray(row * headDim, (row + 1) * headDim) }),
      ...(selection.total && { total: selection.total }),
      ...(tail.errors && { estimate: { error: tail.errors[row] as number, total: whole[row] as SoftmaxSum } }),
    });
    const outcome = selection.count === n ? 'dense' : 'chosen';
    return { ...certificate, keysRead: selection.count, keysCoded: tail.keysCoded, bytesRead, outcome };
  });
  return { outputs, results };
}

/** Attends to the selected keys. Returns the region where the state lies. */
function attendSelection(query: HeadQuery, { count, sample }: Selection): ThreadRegion {
  if (count === query.n) return attendEverything(query);
  return sample === undefined ? attendPositions(query, count) : attendWeighted(query, count);
}
