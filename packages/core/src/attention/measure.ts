/**
 * Sampling, as tasks that any thread can take: a task has groups, the query heads of one position that share a key-value
 * head, and notes a record of each query. The plan of a job is numbers in the exchange: its sizes, its shares and rungs,
 * and the positions of the queries.
 */

import type { KvCache } from '../cache/kv-cache.ts';
import { invariant } from '../errors.ts';
import { scoreAllKeys } from '../group/group-work.ts';
import { loadGroupWork } from './decode.ts';
import type { Job } from './job.ts';
import { distanceBucket } from './measure/distance-buckets.ts';
import { MAX_RUNGS } from './measure/ranking.ts';
import { type MeasurePlan, measureRow, recordLength } from './measure/sample.ts';
import type { ThreadContext } from './thread.ts';

export interface MeasureRequest {
  layer: number;
  /** Of the queries; the cache has the keys up to each, committed or not. */
  positions: readonly number[];
  /** Queries after RoPE, not scaled, and what dense attention gives: (positions, heads, headDim) each. */
  queries: Float32Array;
  outputs: Float32Array;
  plan: MeasurePlan;
}

/** Positions stay whole numbers in float32. */
const MAX_POSITION = 2 ** 24;

const PLAN_SIZES = 4;

export function encodeMeasurePlan(plan: MeasurePlan, positions: readonly number[]): Float32Array {
  const { shares, ladder, distanceBuckets, sketchSize } = plan;
  return Float32Array.of(shares.length, ladder.length, distanceBuckets, sketchSize, ...shares, ...ladder, ...positions);
}

function decodeMeasurePlan(source: Float32Array, count: number): MeasurePlan & { positions: number[] } {
  const [shareCount = 0, rungs = 0, distanceBuckets = 0, sketchSize = 0] = source;
  const lists = Array.from(source.subarray(PLAN_SIZES, PLAN_SIZES + shareCount + rungs + count));
  return {
    shares: lists.slice(0, shareCount),
    ladder: lists.slice(shareCount, shareCount + rungs),
    positions: lists.slice(shareCount + rungs),
    distanceBuckets,
    sketchSize,
  };
}

/** Some groups: one key-value head of one position each. */
export function measureTask(thread: ThreadContext, job: Job, task: number): void {
  const { keyValueHeads, headDim } = thread.shape;
  const groups = job.count * keyValueHeads;
  const { views } = thread.jobMemory;
  const { positions, ...plan } = decodeMeasurePlan(views().f32.subarray(job.measurePlan / 4), job.count);
  const recordSize = recordLength(plan);
  for (let groupIndex = task * job.blockSize; groupIndex < Math.min(groups, (task + 1) * job.blockSize); groupIndex++) {
    const [index, keyValueHead] = [Math.floor(groupIndex / keyValueHeads), groupIndex % keyValueHeads];
    const head = keyValueHead * thread.groupSize;
    const n = (positions[index] as number) + 1;
    const work = loadGroupWork(thread, job, index, keyValueHead, head, thread.groupSize, n);
    scoreAllKeys(work);
    for (let row = 0; row < thread.groupSize; row++) {
      const at = index * thread.heads + head + row;
      const exact = job.outputs / 4 + at * headDim;
      const record = job.results / 4 + at * recordSize;
      const { f32 } = views();
      measureRow(work, row, plan, f32.subarray(exact, exact + headDim), f32.subarray(record, record + recordSize));
    }
  }
}

/** Throws `invalid-argument` unless a request fits the cache. */
export function checkMeasureRequest(
  { layer, positions, queries, outputs, plan }: MeasureRequest,
  { shape, reserved }: KvCache,
  heads: number,
): void {
  const { shares, ladder, distanceBuckets, sketchSize } = plan;
  const isCached = (position: number) =>
    Number.isSafeInteger(position) && position >= 0 && position < Math.min(reserved, MAX_POSITION);
  invariant(positions.length > 0 && positions.every(isCached) && layer >= 0 && layer < shape.layers, () => ({
    code: 'invalid-argument',
    problem: 'Samples are of queries whose keys the cache has.',
    found: `positions ${positions.slice(0, 8).join(', ')} of layer ${layer}, of ${reserved} in ${shape.layers} layers`,
    remedy: 'Write the keys of the queries before sampling.',
  }));
  const width = heads * shape.headDim;
  invariant(
    [queries, outputs].every((rows) => rows.length === positions.length * width),
    () => ({
      code: 'invalid-argument',
      problem: `A sample has a query and a dense output of ${heads} heads of ${shape.headDim} for every position.`,
      found: `${queries.length} and ${outputs.length} numbers for ${positions.length} positions`,
      remedy: 'Pass the rows of the sampled positions, whole.',
    }),
  );
  const ascends = ladder.every((keys, i) => Number.isSafeInteger(keys) && keys > (ladder[i - 1] ?? 0));
  invariant(ascends && shares.every((share) => share > 0 && share < 1) && ladder.length <= MAX_RUNGS, () => ({
    code: 'invalid-argument',
    problem: `Shares lie between 0 and 1; a ladder has at most ${MAX_RUNGS} numbers of keys, and ascends.`,
    found: `shares ${shares.join(', ')}; ladder ${ladder.join(', ')}`,
    remedy: 'Correct the plan.',
  }));
  const longest = Math.max(...positions);
  const hasBuckets = Number.isSafeInteger(distanceBuckets) && distanceBuckets > distanceBucket(longest);
  invariant(hasBuckets && Number.isSafeInteger(sketchSize) && sketchSize > 0, () => ({
    code: 'invalid-argument',
    problem: 'A plan has a bucket for every distance, and a sketch of at least one number.',
    found: `${distanceBuckets} buckets, of distances up to ${longest}; a sketch of ${sketchSize} numbers`,
    remedy: `Plan ${distanceBucket(longest) + 1} buckets or more.`,
  }));
  invariant(shape.encodings.includes('summary'), () => ({
    code: 'invalid-argument',
    problem: 'Samples read page means, which the cache does not keep.',
    found: shape.encodings.join(', ') || 'no planes but the exact one',
    remedy: 'Create it with the plane summary.',
  }));
}
