/**
 * What one query needs: the keys for shares of its softmax, and the errors of a ladder of numbers of keys, with the tail
 * dropped (the policy `topk`) and with page means for it (`topk-means`). Every rung adds its keys to the softmax of the
 * one before, so a ladder costs what its last rung costs.
 */
import {
  copyState,
  countSinks,
  type GroupWork,
  listPartIn,
  normalizedOutputs,
  primaryRegion,
  rowScores,
  selectedPositions,
  singleRow,
  type ThreadRegion,
} from '../../group/group-work.ts';
import createPageMeans from '../../tails/page-means.ts';
import { sumByDistance } from './distance-buckets.ts';
import { Ranking } from './ranking.ts';
import { sketchRow } from './row-sketch.ts';

/** What is asked of every query. */
export interface MeasurePlan {
  /** Shares of the softmax that may be left unread: above 0, below 1. */
  shares: readonly number[];
  /** Numbers of keys, ascending. */
  ladder: readonly number[];
  /** Buckets of distances, enough for the longest one of a query: see `distanceBucket`. */
  distanceBuckets: number;
  /** Numbers that a row of softmax weights is projected to. */
  sketchSize: number;
}

/** What was found of one query: numbers of a record, in this order. */
export interface QueryMeasurement {
  /** Shares of the softmax on the first and on the last keys. */
  sinkMass: number;
  localMass: number;
  /** e^entropy of the softmax. */
  effectiveKeys: number;
  /** Standard deviation of the scores, in nats. */
  scoreSpread: number;
  /** Sum of (score - mean)^2 over the keys after the first ones, which may be sinks. */
  scoreSquares: number;
  /** Keys that leave at most each share unread. */
  mass: Float32Array;
  /** Relative output errors at each rung; NaN where it has more keys than 60 % of all. */
  errorWithoutTail: Float32Array;
  errorWithTail: Float32Array;
  /** Sums of score - mean over the same keys as `scoreSquares`, by the bucket of the distance. */
  distanceSums: Float32Array;
  /** The softmax weights, as a row of length 1, projected to `sketchSize` numbers. */
  rowSketch: Float32Array;
}

/** Positions at the beginning and at the end whose shares of the softmax are measured. */
export const SINK_POSITIONS = 4;
const LOCAL_POSITIONS = 128;

const SCALAR_FIELDS = 5;

/** Rungs above this share of all keys are left out: they cost most of the time, and say little. */
const MAX_LADDER_SHARE = 0.6;

/** Numbers of the record of a query. */
export const recordLength = ({ shares, ladder, distanceBuckets, sketchSize }: MeasurePlan): number =>
  SCALAR_FIELDS + shares.length + 2 * ladder.length + distanceBuckets + sketchSize;

/** Reads a record; the lists are views of it. */
export function readMeasurement(record: Float32Array, plan: MeasurePlan): QueryMeasurement {
  const [sinkMass = 0, localMass = 0, effectiveKeys = 0, scoreSpread = 0, scoreSquares = 0] = record;
  let end = SCALAR_FIELDS;
  const next = (length: number) => {
    end += length;
    return record.subarray(end - length, end);
  };
  return {
    sinkMass,
    localMass,
    effectiveKeys,
    scoreSpread,
    scoreSquares,
    mass: next(plan.shares.length),
    errorWithoutTail: next(plan.ladder.length),
    errorWithTail: next(plan.ladder.length),
    distanceSums: next(plan.distanceBuckets),
    rowSketch: next(plan.sketchSize),
  };
}

/** This thread's, for one query after the other. */
const ranking = new Ranking();
const pageMeans = createPageMeans();

/** Writes the record of one row of a query whose scores have been gathered; `exact` (d) is its dense output. */
export function measureRow(
  query: GroupWork,
  row: number,
  plan: MeasurePlan,
  exact: Float32Array,
  record: Float32Array,
): void {
  const single = singleRow(query, row);
  const scores = rowScores(single);
  const { total, max, entropy, spread } = ranking.load(scores);
  const massOf = (from: number, to: number) => {
    let sum = 0;
    for (let i = Math.max(0, from); i < Math.min(scores.length, to); i++) sum += Math.exp((scores[i] as number) - max);
    return sum / total;
  };
  const { n } = query;
  const { mass, errorWithoutTail, errorWithTail, distanceSums, rowSketch } = readMeasurement(record, plan);
  const squares = sumByDistance(scores, SINK_POSITIONS, distanceSums);
  record.set([massOf(0, SINK_POSITIONS), massOf(n - LOCAL_POSITIONS, n), Math.exp(entropy), spread, squares]);
  sketchRow(scores, max, rowSketch);
  ranking.keysForMass(plan.shares, mass);
  errorWithoutTail.fill(Number.NaN);
  errorWithTail.fill(Number.NaN);
  const ladder = plan.ladder.filter((keys) => keys <= MAX_LADDER_SHARE * n);
  ranking.writeTiers(ladder, selectedPositions(single));
  measureLadder(single, ladder, exact, errorWithoutTail, errorWithTail);
}

/** Errors of each rung of the ladder. */
function measureLadder(
  query: GroupWork,
  ladder: readonly number[],
  exact: Float32Array,
  errorWithoutTail: Float32Array,
  errorWithTail: Float32Array,
): void {
  const { headDim } = query.shape;
  const primary = primaryRegion(query);
  const { rowState } = primary.workspace;
  const withTail: ThreadRegion = { ...primary, workspace: { ...primary.workspace, state: rowState } };
  primary.kernels.initSoftmaxState(primary.workspace.state, 1, headDim);
  countSinks(query, primary);
  let region = primary;
  for (const [rung, keys] of ladder.entries()) {
    region = attendTier(query, ladder[rung - 1] ?? 0, keys, region);
    errorWithoutTail[rung] = relativeError(normalizedOutputs(region, 1, headDim), exact);
    copyState(region, region.workspace.state, primary, rowState, 1, headDim);
    pageMeans.add(query, { count: keys, bytesScanned: 0 }, withTail);
    errorWithTail[rung] = relativeError(normalizedOutputs(withTail, 1, headDim), exact);
  }
}

/** Takes positions [from, to) of the positions buffer, which ascend, into the state that lies in `region`. */
function attendTier(query: GroupWork, from: number, to: number, region: ThreadRegion): ThreadRegion {
  let current = region;
  for (const segment of query.segments) {
    const { start, end, indices } = listPartIn(query, segment, (workspace) => workspace.indices, from, to - from);
    if (end <= start) continue;
    const { workspace, kernels } = segment.region;
    if (segment.region !== current) {
      copyState(current, current.workspace.state, segment.region, workspace.state, 1, query.shape.headDim);
      current = segment.region;
    }
    kernels.attendSelected(segment.pages, indices, end - start, workspace.queries, workspace.state, workspace.scratch);
  }
  return current;
}

/** ||output - exact|| / ||exact|| */
export function relativeError(output: Float32Array, exact: Float32Array): number {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < exact.length; i++) {
    difference += ((output[i] as number) - (exact[i] as number)) ** 2;
    norm += (exact[i] as number) ** 2;
  }
  return difference === 0 ? 0 : Math.sqrt(difference / norm);
}
