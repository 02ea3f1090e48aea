/**
 * Measuring what queries need: a task is a number of GQA groups, and writes a record of each query head. The plan of a job
 * travels as numbers: how many shares and rungs there are, these, and the positions of the queries.
 */

import type { KvCache } from '../cache/kv-cache.ts';
import { invariant } from '../errors.ts';
import { scoreAllKeys } from '../group/group-work.ts';
import { loadQueryGroup } from './decode.ts';
import type { Job } from './job.ts';
import { distanceBucket } from './measure/distance-buckets.ts';
import { MAX_RUNGS } from './measure/ranking.ts';
import { type MeasurePlan, measureRow, recordLength } from './measure/sample.ts';
import type { ThreadContext } from './thread.ts';

/** What `Attention.measure` is asked: queries, and what to find out about each. */
export interface MeasureRequest {
  layer: number;
  /** Positions of the queries. The cache has the keys up to each, committed or not. */
  positions: readonly number[];
  /** Queries after RoPE, not scaled: (positions, heads, headDim). */
  queries: Float32Array;
  /** Outputs of full attention: (positions, heads, headDim). */
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
  const { data } = job;
  const { positions, ...plan } = decodeMeasurePlan(data.measurePlan, job.count);
  const recordSize = recordLength(plan);
  for (let groupIndex = task * job.blockSize; groupIndex < Math.min(groups, (task + 1) * job.blockSize); groupIndex++) {
    const [index, keyValueHead] = [Math.floor(groupIndex / keyValueHeads), groupIndex % keyValueHeads];
    const head = keyValueHead * thread.groupSize;
    const n = (positions[index] as number) + 1;
    const work = loadQueryGroup(thread, job, index, keyValueHead, head, thread.groupSize, n);
    scoreAllKeys(work);
    for (let row = 0; row < thread.groupSize; row++) {
      const at = index * thread.heads + head + row;
      const exact = data.outputs.subarray(at * headDim, (at + 1) * headDim);
      measureRow(work, row, plan, exact, data.results.subarray(at * recordSize, (at + 1) * recordSize));
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
    problem: 'Queries can be measured only where the cache has their keys.',
    found: `positions ${positions.slice(0, 8).join(', ')} of layer ${layer}, of ${reserved} in ${shape.layers} layers`,
    remedy: 'Write the keys of the queries first.',
  }));
  const width = heads * shape.headDim;
  invariant(
    [queries, outputs].every((rows) => rows.length === positions.length * width),
    () => ({
      code: 'invalid-argument',
      problem: `Every position needs a query and an output of full attention, of ${heads} heads of ${shape.headDim}.`,
      found: `${queries.length} and ${outputs.length} numbers for ${positions.length} positions`,
      remedy: 'Pass whole rows, one for each position.',
    }),
  );
  const ascends = ladder.every((keys, i) => Number.isSafeInteger(keys) && keys > (ladder[i - 1] ?? 0));
  invariant(ascends && shares.every((share) => share > 0 && share < 1) && ladder.length <= MAX_RUNGS, () => ({
    code: 'invalid-argument',
    problem: `Shares must be in (0, 1), and a ladder must have at most ${MAX_RUNGS} ascending numbers of keys.`,
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
    problem: 'Measuring reads page means, which the cache does not keep.',
    found: shape.encodings.join(', ') || 'no encodings but the exact rows',
    remedy: 'Create it with the encoding summary.',
  }));
}
