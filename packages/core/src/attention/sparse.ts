/** Sparse attention, as tasks that any thread can take: select, attend, estimate the tail, certify. */
import { attendPositions, type HeadQuery, placeQueries, readSum } from '../cache/head-query.ts';
import { CERTIFICATE_KINDS, certifyDropped } from '../certificates/certificate.ts';
import { rowBytes } from '../kernels/layout.ts';
import type { SparsePolicy } from '../policies/policy.ts';
import { type Job, ROW_RESULTS } from './job.ts';
import { headSegments, type ThreadContext } from './thread.ts';

/** Some query rows: one head of one query each. */
export function sparseRowsTask(thread: ThreadContext, job: Job, task: number): void {
  const rows = job.count * thread.heads;
  const policy = thread.policies[job.policy] as SparsePolicy;
  for (let row = task * job.grain; row < Math.min(rows, (task + 1) * job.grain); row++) {
    attendRow(thread, job, policy, row);
  }
}

function attendRow(thread: ThreadContext, job: Job, policy: SparsePolicy, row: number): void {
  const { shape, heads, group, exchange } = thread;
  const { headDim } = shape;
  const head = row % heads;
  const keyValueHead = Math.floor(head / group);
  const n = job.position + Math.floor(row / heads) + 1;

  const at = job.queries / 4 + row * headDim;
  const norm = placeQueries(thread.regions, exchange.views().f32.subarray(at, at + headDim), headDim, 0);
  const query: HeadQuery = {
    shape,
    layer: job.layer,
    head,
    n,
    segments: headSegments(thread, job.segments, job.layer, keyValueHead, 0, n),
    norm,
    keyNorm: job.norms[2 * keyValueHead] as number,
    valueNorm: job.norms[2 * keyValueHead + 1] as number,
  };

  const selection = policy.selector.select(query, policy.budget);
  const region = attendPositions(query, selection.count);
  const headSum = readSum(region.views(), region.workspace.state);
  const tail = policy.tail.add(query, selection, region);

  const { state, queries: finished } = region.workspace;
  region.kernels.finishState(state, 1, headDim, finished, headDim * 4);
  const output = region.views().f32.subarray(finished / 4, finished / 4 + headDim);
  exchange.views().f32.set(output, job.outputs / 4 + row * headDim);

  const rowsRead = 2 * selection.count * rowBytes(headDim, shape.precision);
  const bytes = selection.bytesScanned + rowsRead + tail.bytesRead;
  const certificate = certifyDropped(query, selection.count, headSum, selection.total, normOf(output));
  const { kind, tailMass, outputError } = certificate;
  const results = [
    selection.count,
    bytes,
    upToFloat(tailMass),
    upToFloat(outputError),
    CERTIFICATE_KINDS.indexOf(kind),
  ];
  exchange.views().f32.set(results, job.results / 4 + row * ROW_RESULTS);
}

/** A float32 that is not below x >= 0: results travel as float32, and a bound may only grow on the way. */
function upToFloat(x: number): number {
  const nearest = Math.fround(x);
  return nearest >= x ? nearest : Math.fround(x * (1 + 2 ** -23));
}

const normOf = (row: Float32Array): number => Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));
