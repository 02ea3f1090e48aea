/**
 * Sampling, as tasks that any thread can take: a task has groups, the query heads of one position that share a key-value
 * head, and notes a record of each query. The plan of a job is numbers in the exchange: how many shares and rungs there
 * are, these, and the positions of the queries.
 */
import { scoreAll } from '../cache/head-query.ts';
import type { KvCache } from '../cache/kv-cache.ts';
import { invariant } from '../errors.ts';
import { MOST_RUNGS } from '../law/ranking.ts';
import { recordLength, type SamplePlan, sampleRow } from '../law/sample.ts';
import type { Job } from './job.ts';
import { queryOf } from './sparse.ts';
import type { ThreadContext } from './thread.ts';

export interface SampleRequest {
  layer: number;
  /** Of the queries; the cache has the keys up to each, committed or not. */
  positions: readonly number[];
  /** Queries after RoPE, not scaled, and what dense attention gives: (positions, heads, headDim) each. */
  queries: Float32Array;
  outputs: Float32Array;
  plan: SamplePlan;
}

/** Positions stay whole numbers in float32. */
const LARGEST_POSITION = 2 ** 24;

export function writePlan({ shares, ladder }: SamplePlan, positions: readonly number[]): Float32Array {
  return Float32Array.of(shares.length, ladder.length, ...shares, ...ladder, ...positions);
}

function readPlan(source: Float32Array, count: number): SamplePlan & { positions: number[] } {
  const numbers = Array.from(source.subarray(0, 2 + (source[0] as number) + (source[1] as number) + count));
  const [shareCount = 0, rungs = 0, ...rest] = numbers;
  return {
    shares: rest.slice(0, shareCount),
    ladder: rest.slice(shareCount, shareCount + rungs),
    positions: rest.slice(shareCount + rungs),
  };
}

/** Some groups: one key-value head of one position each. */
export function samplesTask(thread: ThreadContext, job: Job, task: number): void {
  const { keyValueHeads, headDim } = thread.shape;
  const groups = job.count * keyValueHeads;
  const { views } = thread.exchange;
  const { positions, ...plan } = readPlan(views().f32.subarray(job.plan / 4), job.count);
  const numbers = recordLength(plan);
  for (let group = task * job.grain; group < Math.min(groups, (task + 1) * job.grain); group++) {
    const [index, keyValueHead] = [Math.floor(group / keyValueHeads), group % keyValueHeads];
    const head = keyValueHead * thread.group;
    const n = (positions[index] as number) + 1;
    const query = queryOf(thread, job, index, keyValueHead, head, thread.group, n);
    scoreAll(query);
    for (let row = 0; row < thread.group; row++) {
      const at = index * thread.heads + head + row;
      const exact = job.outputs / 4 + at * headDim;
      const record = job.results / 4 + at * numbers;
      const { f32 } = views();
      sampleRow(query, row, plan, f32.subarray(exact, exact + headDim), f32.subarray(record, record + numbers));
    }
  }
}

/** Throws `invalid-argument` unless a request fits the cache. */
export function checkSampleRequest(
  { layer, positions, queries, outputs, plan }: SampleRequest,
  { shape, reserved }: KvCache,
  heads: number,
): void {
  const { shares, ladder } = plan;
  const held = (position: number) =>
    Number.isSafeInteger(position) && position >= 0 && position < Math.min(reserved, LARGEST_POSITION);
  invariant(positions.length > 0 && positions.every(held) && layer >= 0 && layer < shape.layers, () => ({
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
  invariant(ascends && shares.every((share) => share > 0 && share < 1) && ladder.length <= MOST_RUNGS, () => ({
    code: 'invalid-argument',
    problem: `Shares lie between 0 and 1; a ladder has at most ${MOST_RUNGS} numbers of keys, and ascends.`,
    found: `shares ${shares.join(', ')}; ladder ${ladder.join(', ')}`,
    remedy: 'Correct the plan.',
  }));
  invariant(shape.planes.includes('summary'), () => ({
    code: 'invalid-argument',
    problem: 'Samples read page means, which the cache does not keep.',
    found: shape.planes.join(', ') || 'no planes but the exact one',
    remedy: 'Create it with the plane summary.',
  }));
}
